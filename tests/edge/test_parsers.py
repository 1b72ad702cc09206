"""Shared parsers and the check of JSON bodies: what they take, and that anything else is Malformed or Unstorable."""

from datetime import datetime

import pytest

from api.common import parsers, storable
from api.common.failures import of
from api.common.request_head import joined


@pytest.mark.parametrize("text", ["", "²", "٣", "1e3", "0x1", "9" * 5000, "2147483648", "-1", "1_0", "+1", "1\n"])
def test_no_whole_number(text: str) -> None:
    with pytest.raises(parsers.Malformed):
        parsers.whole(text)


def test_whole_numbers() -> None:
    assert [parsers.whole(text) for text in ("0", "007", "2147483647")] == [0, 7, 2147483647]
    assert parsers.whole("-5", least=-10) == -5


@pytest.mark.parametrize(
    "text",
    ["", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30", "2026-01-01T25:00:00", "2026-W01-1",
     "20260101", "2026-01-01T00:00:00+99:99", "2026-01-01\n", "2026-01-01T00:00:00" + "0" * 400],
)  # fmt: skip
def test_no_moment(text: str) -> None:
    with pytest.raises(parsers.Malformed):
        parsers.moment(text)


@pytest.mark.parametrize(
    "text",
    ["2026-01-02", "2026-01-02T00:00", "2026-01-02T00:00:00Z", "2026-01-02 00:00:00", "2026-01-02T02:00:00+02:00",
     "2026-01-02T02:00:00 02:00", "2026-01-01T23:00:00.000-01:00", "2026-01-02T00:00:00.000000000"],
)  # fmt: skip
def test_moments(text: str) -> None:
    assert parsers.moment(text) == datetime(2026, 1, 2)


@pytest.mark.parametrize("text", ["2", "2.", ".1", "2.01", "²", "2." + "9" * 5000, "2.1.1", "2.1 ", "v2.1"])
def test_no_version(text: str) -> None:
    with pytest.raises(parsers.Malformed):
        parsers.version(text)


def test_sort_keys_are_counted_once() -> None:
    assert parsers.sort_keys(["a", "b", "a"] * 300, ["desc"]) == [("a", True), ("b", True)]
    assert parsers.sort_keys(["a", "b"], ["asc", "desc"]) == [("a", False), ("b", True)]
    with pytest.raises(parsers.Malformed):
        parsers.sort_keys(["a"], ["up"])


def test_uuids() -> None:
    assert parsers.is_uuid("11111111-2222-3333-4444-555555555555") and parsers.is_uuid("a" * 32)
    for other in ("{11111111-2222-3333-4444-555555555555}", "urn:uuid:" + "a" * 32, "a" * 31, 5, None, "a" * 32 + "\n"):
        assert not parsers.is_uuid(other)


@pytest.mark.parametrize(
    "raw",
    [b"\xff", b"[" * 100_000, b"[" * 41 + b"]" * 41, b"NaN", b"1e999", b"9" * 5000, b"9223372036854775808",
     rb'"\ud800"', rb'{"\u0000": 1}', b'{"a": 1, "a": 2}', b'"\xed\xa0\x80"', '"x"'.encode("utf-16")],
)  # fmt: skip
def test_unstorable(raw: bytes) -> None:
    with pytest.raises(storable.Unstorable) as refusal:
        storable.load(raw)
    assert of(refusal.value, "").status == 400


def test_storable() -> None:
    assert storable.load(rb'{"a": [1, 2.5, null, true, "\ud83d\ude00", {"b": 9223372036854775807}]}')
    assert storable.load(b"[" * 40 + b"]" * 40)


def test_headers_that_come_twice_are_joined() -> None:
    sent = [(b"A", b"1"), (b"b", b"2"), (b"a", b"3")]
    assert joined(sent) == [(b"a", b"1,3"), (b"b", b"2")]


def test_a_place_is_told_as_its_sender_knows_it() -> None:
    assert parsers.place(["server", "networks", "list[NetworkWish]", 0, "uuid"]) == "server/networks/0/uuid"
    assert parsers.place(["server", "accessIPv4", "function-after[checked(), str]"]) == "server/accessIPv4"
    assert parsers.place(["server", "config_drive", "bool"]) == "server/config_drive"
