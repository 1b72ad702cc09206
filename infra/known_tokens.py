"""What identity said of tokens, told by one service of a machine to the others: what the compute API asks the volume
service for its user need not wait for Keystone a second time.

A file for each token, named by its digest, in a directory that is its owner's alone: whoever may write there may read
the services' passwords as well. Nobody believes it for longer than what was said to himself."""

import json
import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

SWEEP_S = 60.0
MOST = 2000
SAME_S = 1.0


class KnownTokens:
    """Safe for threads and processes. What cannot be read or written is not known."""

    def __init__(self, place: Path) -> None:
        self._place, self._swept, self._full = place, float("-inf"), False
        self._usable = _ours(place)

    def get(self, digest: bytes) -> tuple[float, dict[str, Any]] | None:
        """(when it was said, by `time.monotonic`; the body's `token`). None, too, for what was said before this machine
        was started: that clock began anew."""
        if not self._usable:
            return None
        try:
            kept = json.loads((self._place / digest.hex()).read_bytes())
            return (kept["said"], kept["token"]) if abs(_offset() - kept["offset"]) < SAME_S else None
        except (OSError, ValueError, LookupError, TypeError):
            return None

    def keep(self, digest: bytes, said: float, token: dict[str, Any]) -> None:
        if not self._usable:
            return
        with suppress(OSError):
            self._sweep()
            if self._full:
                return
            part = self._place / f".{os.getpid()}-{os.urandom(8).hex()}"
            with os.fdopen(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
                json.dump({"said": said, "offset": _offset(), "token": token}, file)
            part.rename(self._place / digest.hex())

    def forget(self, digest: bytes) -> None:
        with suppress(OSError):
            (self._place / digest.hex()).unlink(missing_ok=True)

    def _sweep(self) -> None:
        """Remove what nobody believes any more, now and then."""
        if time.monotonic() - self._swept < SWEEP_S:
            return
        self._swept, left, old = time.monotonic(), 0, time.time() - SWEEP_S
        for file in self._place.iterdir():
            with suppress(FileNotFoundError):
                left += (young := file.lstat().st_mtime >= old)
                if not young:
                    file.unlink()
        self._full = left > MOST


def _offset() -> float:
    """Between the clocks; it changes when the machine starts, and when somebody sets its time."""
    return time.time() - time.monotonic()


def _ours(place: Path) -> bool:
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        known = place.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(known.st_mode) and known.st_uid == os.geteuid() and known.st_mode & 0o077 == 0
