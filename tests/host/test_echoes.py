"""What a guest does because a step told it to is no news, when its event comes late, too; what it does by itself is."""

from contextlib import suppress
from typing import Any

import pytest

from infra.contracts.power_states import PAUSED, RUNNING, SHUTDOWN, SUSPENDED
from infra.host.libvirt.events import Events
from infra.host.services.control import LifecycleEvent

ID = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
def events() -> Events:
    silent: Any = None
    return Events(silent)  # it sends nothing before `start`


def is_news(events: Events, state: int) -> bool:
    events._pending.clear()
    events.note(LifecycleEvent(instance_id=ID, power_state=state))
    return ID in events._pending


def test_a_pause_told_by_its_step_is_not_told_again(events: Events) -> None:
    with events.held(ID, pauses=True):
        assert not is_news(events, PAUSED)
    assert not is_news(events, PAUSED)
    assert is_news(events, SHUTDOWN) and is_news(events, SUSPENDED)


def test_a_guest_that_pauses_by_itself_after_it_went_on_is_news(events: Events) -> None:
    with events.held(ID, pauses=True):
        pass
    with events.held(ID):
        pass
    assert not is_news(events, RUNNING) and is_news(events, PAUSED)
    assert is_news(events, RUNNING)


def test_a_pause_that_failed_is_told(events: Events) -> None:
    with suppress(ValueError), events.held(ID, pauses=True):
        raise ValueError
    assert is_news(events, PAUSED)


@pytest.mark.parametrize("state", [PAUSED, SHUTDOWN, SUSPENDED])
def test_what_leads_to_an_end_that_is_told_is_none(events: Events, state: int) -> None:
    with events.held(ID, ends=True):
        pass
    assert not is_news(events, state)
