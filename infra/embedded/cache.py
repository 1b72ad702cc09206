"""A cache inside one process that cannot grow without bound, under the two interfaces that are asked for.

Values are kept pickled: a caller that changes what it got must not change what the next one gets."""

import pickle
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from dogpile.cache import register_backend
from dogpile.cache.api import NO_VALUE, CacheBackend

BACKEND = "dogpile.cache.memory"
"""The name taken over: oslo.cache accepts only names that it knows, and the original never lets go of a value."""
MAX_ENTRIES = 4000
TOKENS = "kilonova.tokens"
"""Key of the WSGI environment under which keystonemiddleware finds its cache of tokens."""


class Bounded:
    """The newest `entries` values, each for `seconds`. Safe for threads."""

    def __init__(self, seconds: float, entries: int = MAX_ENTRIES) -> None:
        self._seconds, self._entries = seconds, entries
        self._kept: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Any:
        """None when there is none, or it is too old."""
        with self._lock:
            until, value = self._kept.get(key, (0.0, b""))
            if until < time.monotonic():
                self._kept.pop(key, None)
                return None
            self._kept.move_to_end(key)
        return pickle.loads(value)  # noqa: S301 - what this process itself pickled

    def set(self, key: str, value: Any, time: float = 0, timeout: float = 0) -> None:
        """`time` and `timeout` are keystonemiddleware's: seconds, where they are shorter than ours."""
        self._put(key, pickle.dumps(value), min(s for s in (self._seconds, time, timeout) if s > 0))

    def _put(self, key: str, value: bytes, seconds: float) -> None:
        with self._lock:
            self._kept[key] = (time.monotonic() + seconds, value)
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)

    def delete(self, key: str) -> None:
        with self._lock:
            self._kept.pop(key, None)


class BoundedBackend(CacheBackend):
    """dogpile.cache's backend interface over `Bounded`."""

    def __init__(self, arguments: Mapping[str, Any]) -> None:
        self._kept = Bounded(float(arguments.get("seconds", 300)))

    def get(self, key: str) -> Any:
        found = self._kept.get(key)
        return NO_VALUE if found is None else found

    def get_multi(self, keys: Iterable[str]) -> list[Any]:
        return [self.get(key) for key in keys]

    def set(self, key: str, value: Any) -> None:
        self._kept.set(key, value)

    def set_multi(self, mapping: Mapping[str, Any]) -> None:
        for key, value in mapping.items():
            self.set(key, value)

    def delete(self, key: str) -> None:
        self._kept.delete(key)

    def delete_multi(self, keys: Iterable[str]) -> None:
        for key in keys:
            self.delete(key)


def register() -> None:
    register_backend(BACKEND, __name__, BoundedBackend.__name__)  # type: ignore[no-untyped-call]
