"""A quarter of the requests is a quarter: what one turn leaves out another asks."""

from itertools import chain

import pytest

from tests.edge import effort


def test_all_turns_together_ask_all_of_it_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: `effort.of`. Each in the order of before; where CI asks, all at once."""
    things = [f"{number:02}" for number in range(30)]
    monkeypatch.setattr(effort, "WHOLE", False)
    turns = []
    for turn in range(effort.PARTS):
        monkeypatch.setattr(effort, "_turn", lambda turn=turn: turn)
        turns.append(effort.of(things))
    assert sorted(chain(*turns)) == things
    assert all(asked == sorted(asked) and len(asked) in (7, 8) for asked in turns)
    monkeypatch.setattr(effort, "WHOLE", True)
    assert effort.of(things) == things
