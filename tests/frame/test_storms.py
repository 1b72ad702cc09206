"""Storms ask for every action that there is."""

from tests.chaos.acts import LEFT_OUT, unknown_rows
from workflows.actions import ACTIONS


def test_storms_know_what_to_ask_for() -> None:
    """A row whose body nobody makes would be refused each time, unnoticed."""
    assert unknown_rows() == []
    assert LEFT_OUT.keys() <= ACTIONS.keys()
