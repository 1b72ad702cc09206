"""What decides without asking anybody: where an action may begin, device names, the resize that waits."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from temporalio.exceptions import ApplicationError

from activities.transition import require
from infra.contracts.operation import InstanceFacts, Transition
from workflows.resizing import migration_of
from workflows.states import PASSING, queues
from workflows.volume_device import device_for, with_devices

STOP = Transition(event="stop", verb="stop", allowed=frozenset(("active",)), doing="powering-off")


@dataclass
class Row:
    id: str = "i"
    vm_state: str = "active"
    task_state: str | None = None
    launched_at: datetime | None = datetime(2026, 1, 1, tzinfo=UTC)
    host: str | None = "node1"


def refusal(do: Any, *args: Any) -> tuple[int, str]:
    with pytest.raises(ApplicationError) as refused:
        do(*args)
    return refused.value.details[0]["code"], refused.value.message


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (Row(vm_state="paused"), "Cannot 'stop' instance i while it is in vm_state paused"),
        (Row(task_state="pausing"), "Cannot 'stop' instance i while it is in task_state pausing"),
        (Row(launched_at=None), "Instance i is in an invalid state for 'stop'"),
        (Row(host=None), "Instance i is not ready"),
    ],
)
def test_an_action_that_may_not_begin(row: Row, words: str) -> None:
    require(Row(), STOP)
    assert refusal(require, row, STOP) == (409, words)


def test_a_server_without_a_host_may_be_asked_what_needs_none() -> None:
    require(Row(host=None), STOP.model_copy(update={"without_host": True}))


def server(*devices: str) -> InstanceFacts:
    volumes = [{"volume_id": f"v{number}", "device": f"/dev/{device}"} for number, device in enumerate(devices)]
    return InstanceFacts(instance_id="i", host="h", volumes=volumes)


def test_device_names() -> None:
    assert device_for(server(), "new", None) == "vdb"
    assert device_for(server("vdb", "vdd"), "new", None) == "vdc"
    assert device_for(server("vdb"), "new", "/dev/vdf") == "vdf"
    assert device_for(server("vdb"), "new", "/dev/sdx") == "vdc"
    taken = (400, "The supplied device path (/dev/vdb) is in use.")
    assert refusal(device_for, server("vdb"), "new", "/dev/vdb") == taken
    assert refusal(device_for, server("vdb"), "new", "vda")[0] == 400
    on_scsi = server("sdb").model_copy(update={"image_properties": {"hw_disk_bus": "scsi"}})
    assert device_for(on_scsi, "new", "/dev/vdb") == "sdc" and device_for(on_scsi, "new", "sdf") == "sdf"
    assert refusal(device_for, on_scsi, "new", "sda")[0] == 400
    twice = (400, "Invalid volume: volume v0 already attached to this instance")
    assert refusal(device_for, server("vdb"), "v0", None) == twice
    full = server(*(f"vd{chr(letter)}" for letter in range(ord("b"), ord("z") + 1)))
    assert refusal(device_for, full, "new", None) == (400, "No free disk device names for prefix 'vd'")


def test_devices_of_a_server_on_no_host() -> None:
    """They follow with its next host, as in Nova; what was asked for is kept free."""
    nowhere = server("vdb").model_copy(update={"host": ""})
    assert device_for(nowhere, "new", None) is None and device_for(nowhere, "new", "/dev/vdc") == "vdc"
    nowhere.volumes += [{"volume_id": "a", "device": None}, {"volume_id": "b", "device": "vdc"}]
    nowhere.volumes += [{"volume_id": "c", "device": None}]
    assert [volume["device"] for volume in with_devices(nowhere)] == ["/dev/vdb", "vdd", "vdc", "vde"]
    nowhere.volumes += [{"volume_id": str(number), "device": None} for number in range(21)]
    assert refusal(device_for, nowhere, "new", None)[0] == 400 and device_for(nowhere, "new", "vdz") == "vdz"
    nowhere.volumes += [{"volume_id": "one too many", "device": None}] * 3
    assert with_devices(nowhere)[-1]["device"] is None


def test_a_resize_that_does_not_wait() -> None:
    assert refusal(migration_of, server()) == (409, "Instance i has not been resized.")


def test_only_device_actions_take_their_turn() -> None:
    assert not queues("no such state")
    assert {state for state in PASSING if queues(state)} == {"attaching", "detaching", "updating"}
