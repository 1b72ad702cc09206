"""A record follows its guest, though no event told of it."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from sqlmodel import select

from infra.contracts.power_states import RUNNING, SHUTDOWN
from infra.host.driver import Driver
from infra.host.services.control import LifecycleEvent
from infra.host.states import StatesNow
from infra.settings import Settings
from infra.tables.compute import ActionEvent, Instance, InstanceAction
from tests.host.cloud import Cloud, new_id, until
from tests.host.specs import spec


@pytest.fixture
def driver(cloud: Cloud, host: Settings) -> Iterator[Driver]:
    driver = Driver(host, cloud.control)
    yield driver
    for instance_id in driver.domains():
        driver.destroy(instance_id)


def active(cloud: Cloud, driver: Driver, instance_id: str, **more: str) -> None:
    """Its record."""
    about = {"project_id": "p", "user_id": "u", "name": "vm", "host": driver._host, **more}
    with cloud.compute.write() as session:
        session.add(Instance(id=instance_id, vm_state="active", power_state=RUNNING, **about))


def server(cloud: Cloud, driver: Driver, **more: str) -> str:
    """An active one, whose guest went off during a step that failed: the event was the step's, and told by nobody."""
    wanted = spec(cloud.claim(new_id()))
    active(cloud, driver, wanted.instance_id, **more)
    driver.spawn(wanted, lambda *_: None)
    with suppress(ZeroDivisionError), driver.events.held(wanted.instance_id):
        driver._domains.stop(wanted.instance_id)
        until(lambda: off(driver.events._held[wanted.instance_id]))  # the start's own event may be late
        raise ZeroDivisionError
    assert driver.domains()[wanted.instance_id] == SHUTDOWN
    return wanted.instance_id


def off(event: LifecycleEvent | None) -> bool:
    return event is not None and event.power_state == SHUTDOWN


def record(cloud: Cloud, instance_id: str) -> tuple[str | None, int]:
    with cloud.compute.read() as session:
        found = session.get_one(Instance, instance_id)
        return found.vm_state, found.power_state


def told(cloud: Cloud, instance_id: str) -> list[tuple[str, str, str | None]]:
    """What its event list says: action, event and reason."""
    with cloud.compute.read() as session:
        mine = select(InstanceAction.action, ActionEvent.event, ActionEvent.details).where(
            InstanceAction.instance_id == instance_id, ActionEvent.request_id == InstanceAction.request_id
        )
        return list(session.exec(mine))


def test_a_guest_that_went_off_during_a_failed_step_is_seen(cloud: Cloud, driver: Driver) -> None:
    """Mechanism: StatesNow. Of two servers the one that an operation works on is left alone."""
    lost, busy = server(cloud, driver), server(cloud, driver, task_state="powering-off")
    driver.events.start()
    StatesNow(driver, cloud.control)()
    until(lambda: record(cloud, lost) == ("stopped", SHUTDOWN))
    assert record(cloud, busy) == ("active", RUNNING)
    assert told(cloud, lost) == [("stop", "guest_stopped", "seen on the host")] and told(cloud, busy) == []
    for id in (lost, busy):
        driver.destroy(id)


def test_what_is_as_its_record_says_is_not_told(cloud: Cloud, driver: Driver) -> None:
    told = server(cloud, driver)
    with cloud.compute.write() as session:
        found = session.get_one(Instance, told)
        found.vm_state, found.power_state = "stopped", SHUTDOWN
    StatesNow(driver, cloud.control)()
    assert not driver.events._pending
    driver.destroy(told)
