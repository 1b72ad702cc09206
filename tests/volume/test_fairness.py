"""Copies take turns: a tenant who asks for many holds up nobody else, and one that hangs ends by itself."""

import os
import time
from pathlib import Path

import pytest

from api.volume.tools import Cancelled, TimedOut, run
from tests.volume.cloud import Cloud, until
from tests.volume.images import ImageServer

RAW = b"boot" * 4096


def test_one_tenants_copies_do_not_hold_up_anothers(cloud: Cloud, images: ImageServer) -> None:
    images.hold.set()
    slow = images.add(RAW)
    body = {"volume": {"size": 1, "imageRef": slow}}
    many = [cloud.ok("POST", "/volumes", body, user="admin")["volume"]["id"] for _ in range(6)]
    assert images.started.wait(10)
    until(lambda: sum(cloud.status(volume) == "downloading" for volume in many) == 2)
    source = cloud.volume()
    begun = time.monotonic()
    snapshot = cloud.snapshot(source)
    assert time.monotonic() - begun < 10, "the other project's copy found a place at once"
    assert sum(cloud.status(volume) == "downloading" for volume in many) == 2, "two of one project at most"
    images.release()
    for volume in many:
        cloud.settled(volume, "available", 60)
        cloud.delete(volume)
    cloud.call("DELETE", f"/snapshots/{snapshot}")


def test_a_tool_that_hangs_is_ended(tmp_path: Path) -> None:
    """Issue: an image that named a FIFO blocked every tenant's copies for ever."""
    begun = time.monotonic()
    with pytest.raises(TimedOut):
        run(["sleep", "60"], lambda: False, 0.5)
    with pytest.raises(Cancelled):
        run(["sleep", "60"], lambda: True, 60)
    assert time.monotonic() - begun < 5


def test_a_tool_sees_nothing_but_what_it_is_lent(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives work to another user")
    secret = tmp_path / "secret"
    secret.write_text("x")
    secret.chmod(0o600)
    with pytest.raises(OSError, match="denied"):
        run(["cat", str(secret)], lambda: False, 5)
    assert run(["id", "-u"], lambda: False, 5).strip() != "0"
