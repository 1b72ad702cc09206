"""The made-up world in a file, for several processes: it outlives each of them, as guests and volumes do."""

import fcntl
import pickle
import threading
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.frame.world import World

STATE = tuple(field.name for field in fields(World) if field.name not in ("claims", "guard", "trusted"))


class SharedWorld(World):
    """Under its guard it is what the file says, and what happens is in the file afterwards."""

    def __init__(self, claims: Callable[[str], tuple[str, int] | None], path: Path) -> None:
        super().__init__(claims)
        self.guard: Any = _InFile(self, path)


class _InFile:
    """A lock that a thread may take again while it has it."""

    def __init__(self, world: World, path: Path) -> None:
        self._world, self._path, self._mine = world, path, threading.RLock()
        self._depth = 0

    def __enter__(self) -> None:
        self._mine.acquire()
        self._depth += 1
        if self._depth > 1:
            return
        self._file = self._path.open("a+b")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._file.seek(0)
        text = self._file.read()
        known: dict[str, Any] = pickle.loads(text) if text else {}
        for name in STATE:  # in place: steps keep the set of their host
            _become(getattr(self._world, name), known.get(name, {}))

    def __exit__(
        self, type_: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._file.truncate(0)
            self._file.write(pickle.dumps({name: getattr(self._world, name) for name in STATE}))
            self._file.close()
        self._mine.release()


def _become(mine: Any, told: Any) -> None:
    """A set, or a dict, with what another process left; sets within a dict stay the objects that they are."""
    if isinstance(mine, set):
        mine.clear()
        mine.update(told)
        return
    for key in [*mine]:
        if isinstance(mine[key], set):
            _become(mine[key], told.get(key, ()))
        elif key not in told:
            del mine[key]
    for key, value in told.items():
        if not isinstance(value, set):
            mine[key] = value
        elif key not in mine:
            mine[key] = set(value)
