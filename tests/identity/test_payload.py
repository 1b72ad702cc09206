"""Token payloads survive packing, and bytes that are none are refused."""

import pytest

from api.identity.payload import Malformed, Payload, Scope, new_audit_id

PAYLOADS = [
    Payload("a" * 32, Scope("project", "0123456789abcdef" * 2), ("password",), 1, 2, 3, (new_audit_id(),)),
    Payload("default", Scope("domain", "Default"), ("password", "token"), 1 << 60, 1 << 61, 0, (new_audit_id(),) * 2),
    Payload("ü" * 20, Scope(), ("application_credential",), 0, 0, 0xFFFFFFFF, (new_audit_id(),), "ABCDEF" * 5),
]


@pytest.mark.parametrize("payload", PAYLOADS)
def test_round_trip(payload: Payload) -> None:
    assert Payload.unpack(payload.pack()) == payload


@pytest.mark.parametrize("length", range(0, 60, 7))
def test_cut_short(length: int) -> None:
    with pytest.raises(Malformed):
        Payload.unpack(PAYLOADS[0].pack()[:length])


def test_another_format() -> None:
    with pytest.raises(Malformed):
        Payload.unpack(b"\x02" + PAYLOADS[0].pack()[1:])
