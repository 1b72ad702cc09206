"""The cache inside a process: bounded, timed, and nobody's object but the caller's."""

import threading

import pytest
from dogpile.cache.api import NO_VALUE

from infra.embedded import cache
from infra.embedded.cache import Bounded, BoundedBackend


def test_the_oldest_make_room() -> None:
    kept = Bounded(60, entries=3)
    for name in "abc":
        kept.set(name, name)
    assert kept.get("a") == "a"
    kept.set("d", "d")
    assert [kept.get(name) for name in "abcd"] == ["a", None, "c", "d"]


def test_each_gets_an_object_of_its_own() -> None:
    kept, value = Bounded(60), {"roles": ["reader"]}
    kept.set("k", value)
    value["roles"].append("admin")
    kept.get("k")["roles"].append("admin")
    assert kept.get("k") == {"roles": ["reader"]}


def test_values_end_after_the_shortest_time_that_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(cache.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
    kept = Bounded(60)
    kept.set("short", 1, time=3)
    kept.set("long", 1, time=600)
    now[0] = 4
    assert (kept.get("short"), kept.get("long")) == (None, 1)
    now[0] = 61
    assert kept.get("long") is None


def test_as_a_backend_of_dogpile() -> None:
    backend = BoundedBackend({"seconds": "60"})
    backend.set_multi({"a": 1, "b": 2})
    assert backend.get_multi(["a", "b", "c"]) == [1, 2, NO_VALUE]
    backend.delete_multi(["a", "a"])
    assert backend.get("a") is NO_VALUE


def test_threads_at_once() -> None:
    kept, errors = Bounded(60, entries=50), list[BaseException]()

    def work(seed: int) -> None:
        try:
            for number in range(2000):
                kept.set(str((seed * number) % 97), number)
                kept.get(str(number % 97))
                kept.delete(str(number % 13))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(1, 7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
