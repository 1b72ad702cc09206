"""The Fernet key repository: staged, primary and secondary keys as files, rotated without invalidating tokens.

File `0` is staged (may open tokens, seals none), the highest number is primary (seals), the others are secondary.
This is Keystone's key repository, which it reads again for each token: a rotation needs no restart.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.fernet import Fernet

from infra.credentials import write_private


class FernetKeys:
    """Keys in `directory` (mode 0700, files 0600). Safe for several processes at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @classmethod
    def of(cls, state_dir: Path) -> "FernetKeys":
        return cls(state_dir / "keys" / "fernet")

    def ensure(self) -> None:
        """Make the repository with a staged and a primary key; keep what exists."""
        with self._locked():
            numbers = self._numbers()
            if not [n for n in numbers if n > 0]:
                self._write_new(1)
            if 0 not in numbers:
                self._write_new(0)

    def rotate(self, max_active_keys: int = 5) -> None:
        """The staged key becomes primary, a new one is staged, the oldest are removed down to `max_active_keys`.

        A token stays readable for `max_active_keys - 2` further rotations: rotate no more often than the longest
        token lifetime divided by that."""
        with self._locked():
            numbers = self._numbers()
            if 0 not in numbers:
                self._write_new(0)
            self._file(0).rename(self._file(max(numbers, default=0) + 1))
            self._write_new(0)
            secondary_first = sorted(n for n in self._numbers() if n > 0)
            excess = len(secondary_first) + 1 - max(max_active_keys, 2)
            for number in secondary_first[: max(excess, 0)]:
                self._file(number).unlink()

    def _numbers(self) -> list[int]:
        return [int(file.name) for file in self.directory.iterdir() if file.name.isdigit()]

    def _file(self, number: int) -> Path:
        return self.directory / str(number)

    def _write_new(self, number: int) -> None:
        write_private(self._file(number), Fernet.generate_key().decode())

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(self.directory / ".lock", os.O_CREAT | os.O_RDWR, 0o600)
        with os.fdopen(lock, "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            yield
