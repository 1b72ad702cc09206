"""What Keystone told one service of a token is known to the others of the machine, and for no longer."""

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace

import pytest

from infra import known_tokens
from infra.identity import IdentityUnavailable, TokenInvalid, TokenValidator
from infra.known_tokens import KnownTokens
from infra.settings import Settings
from tests.embedded.people import Make
from tests.openstack import OpenStack
from tests.ports import free_port

DIGEST = sha256(b"token").digest()
BODY = {"user": {"id": "u"}}


@pytest.fixture
def settings(openstack: OpenStack, tmp_path: Path) -> Settings:
    (tmp_path / "run").mkdir()
    return openstack.settings.model_copy(update={"state_dir": tmp_path, "auth_url": openstack.settings.identity_url})


@asynccontextmanager
async def two(settings: Settings) -> AsyncIterator[tuple[TokenValidator, TokenValidator]]:
    """Of two services; the second cannot ask."""
    first, second = TokenValidator(settings), TokenValidator(settings)
    second._url = f"http://127.0.0.1:{free_port()}/auth/tokens"
    try:
        yield first, second
    finally:
        await first.close()
        await second.close()


async def test_a_second_service_does_not_ask(settings: Settings, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off by: `_Known.hear` hearing nothing. What it heard it believes no longer than who asked."""
    good, now = make().sign_in(), time.monotonic
    async with two(settings) as (first, second):
        with pytest.raises(IdentityUnavailable):
            await second.validate(good.token)
        facts = await first.validate(good.token)
        assert second.validate_now(good.token) == await second.validate(good.token) == facts
        later = SimpleNamespace(monotonic=lambda: now() + settings.token_cache_s)
        monkeypatch.setattr("infra.identity.time", later)
        with pytest.raises(IdentityUnavailable):
            await second.validate(good.token)


async def test_who_asked_asks_anew_for_both(settings: Settings, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off by: `_Known.ages` being the same for what was heard."""
    good, begun = make().sign_in(), time.monotonic()
    clock = SimpleNamespace(monotonic=lambda: begun)
    monkeypatch.setattr("infra.identity.time", clock)
    async with two(settings) as (first, second):
        facts = await first.validate(good.token)
        await second.validate(good.token)
        for part, asks in ((0.7, False), (0.8, True)):
            clock.monotonic = lambda part=part: begun + part * settings.token_cache_s  # type: ignore[misc]
            assert await first.validate(good.token) is facts
            assert await second.validate(good.token) == facts
            assert (bool(first._asking), bool(second._asking)) == (asks, False)
        await next(iter(first._asking.values()))
        clock.monotonic = lambda: begun + 1.5 * settings.token_cache_s
        assert await second.validate(good.token) == facts
        assert not second._asking


async def test_what_is_refused_is_told_no_more(settings: Settings, make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off by: `_Known.judge` forgetting its own facts only."""
    gone, now = make().sign_in(), time.monotonic
    async with two(settings) as (first, second):
        await first.validate(gone.token)
        gone.ok("DELETE", "/auth/tokens", headers={"X-Subject-Token": gone.token})
        later = SimpleNamespace(monotonic=lambda: now() + settings.token_cache_s)
        with monkeypatch.context() as patched:
            patched.setattr("infra.identity.time", later)
            with pytest.raises(TokenInvalid):
                await first.validate(gone.token)
        with pytest.raises(IdentityUnavailable):
            await second.validate(gone.token)


def test_nothing_of_before_a_start_of_the_machine_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Switched off by: `KnownTokens.get` believing any moment."""
    mine, clock = KnownTokens(tmp_path / "tokens"), time.monotonic
    mine.keep(DIGEST, clock(), BODY)
    assert mine.get(DIGEST) is not None
    began = SimpleNamespace(time=time.time, monotonic=lambda: clock() - 1000)
    monkeypatch.setattr(known_tokens, "time", began)
    assert mine.get(DIGEST) is None


def test_a_directory_that_others_come_to_tells_nothing(tmp_path: Path) -> None:
    """Switched off by: `_ours`."""
    place = tmp_path / "tokens"
    KnownTokens(place).keep(DIGEST, time.monotonic(), BODY)
    assert KnownTokens(place).get(DIGEST) is not None
    place.chmod(0o770)
    other = KnownTokens(place)
    assert other.get(DIGEST) is None
    other.keep(sha256(b"other").digest(), time.monotonic(), BODY)
    assert len(list(place.iterdir())) == 1


def test_half_a_file_or_another_release_s_tells_nothing(tmp_path: Path) -> None:
    mine = KnownTokens(tmp_path / "tokens")
    mine.keep(DIGEST, time.monotonic(), BODY)
    (kept,) = (tmp_path / "tokens").iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    for text in ('{"said": ', "", "[]", "{}", '{"said": 1, "offset": "x", "token": {}}'):
        kept.write_text(text)
        assert mine.get(DIGEST) is None, text


def test_what_nobody_believes_is_swept_and_there_are_never_too_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Switched off by: `KnownTokens._sweep`."""
    place = tmp_path / "tokens"
    for number in range(5):
        KnownTokens(place).keep(sha256(b"%d" % number).digest(), time.monotonic(), BODY)
    for old in list(place.iterdir())[:2]:
        os.utime(old, (0, 0))
    KnownTokens(place).keep(DIGEST, time.monotonic(), BODY)
    assert len(list(place.iterdir())) == 4
    monkeypatch.setattr(known_tokens, "MOST", 3)
    KnownTokens(place).keep(sha256(b"more").digest(), time.monotonic(), BODY)
    assert len(list(place.iterdir())) == 4
