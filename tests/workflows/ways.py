"""How a test gets a server to each action, what it asks, and the vm_state that follows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from infra.tables.compute import Instance


@dataclass(frozen=True)
class Way:
    """`action`: the row of workflows/actions.py, where it is not the way's own name."""

    ends: str
    before: tuple[str, ...] = ()  # actions that bring an active server to where this one may begin
    body: dict[str, Any] = field(default_factory=dict)
    refusing: tuple[str, ...] = ()  # steps before the answer, besides the first
    of: Callable[[Instance], dict[str, Any]] | None = None  # what of the body follows from the server's record
    action: str = ""


SOFT_DELETE = "delete"
"""Not an action: a delete that can be taken back."""
VOLUME = {"volume_id": "b0000000-0000-4000-8000-000000000001", "attachment_id": "a0000000-0000-4000-8000-000000000001"}
GROUP = {"name": "web", "group_id": "90000000-0000-4000-8000-000000000001"}
BIGGER = {"flavor": {"id": "bigger", "name": "bigger", "vcpus": 2, "ram": 128}}
EPHEMERAL = {"kind": "ephemeral", "size_mb": 1, "guest_format": "vfat", "device": "vdc", "of_flavor": False}
ELSEWHERE = "resize elsewhere"


def _newest_port(server: Instance) -> dict[str, Any]:
    return {"port_id": server.networks[-1]["port_id"] if server.networks else "none"}


WAYS = {
    "attach_volume": Way(ends="active", body=VOLUME),
    "detach_volume": Way(ends="active", before=("attach_volume",), body={"volume_id": VOLUME["volume_id"]}),
    "attach_interface": Way(
        ends="active",
        body={"network_id": "n0000000-0000-4000-8000-000000000001"},
        refusing=("plug_ports", "plug_nic", "end_action"),
    ),
    "addSecurityGroup": Way(ends="active", body=GROUP, refusing=("find_ports", "change_groups", "end_action")),
    "removeSecurityGroup": Way(
        ends="active",
        before=("addSecurityGroup",),
        body=GROUP,
        refusing=("find_ports", "change_groups", "end_action"),
    ),
    "detach_interface": Way(ends="active", before=("attach_interface",), of=_newest_port),
    "update_attachment": Way(
        ends="active",
        before=("attach_volume",),
        body={"volume_id": VOLUME["volume_id"], "delete_on_termination": True},
        refusing=("mark_volume", "end_action"),
    ),
    "swap_volume": Way(
        ends="active",
        before=("attach_volume",),
        body={
            "volume_id": VOLUME["volume_id"],
            "new_volume_id": "b0000000-0000-4000-8000-000000000002",
            "attachment_id": "a0000000-0000-4000-8000-000000000002",
        },
    ),
    "extend_volume": Way(ends="active", before=("attach_volume",), body={"volume_id": VOLUME["volume_id"]}),
    "refresh_network": Way(ends="active"),
    "os-stop": Way(ends="stopped"),
    "os-start": Way(ends="active", before=("os-stop",)),
    "pause": Way(ends="paused"),
    "unpause": Way(ends="active", before=("pause",)),
    "suspend": Way(ends="suspended"),
    "resume": Way(ends="active", before=("suspend",)),
    "trigger_crash_dump": Way(ends="active"),
    "reboot": Way(ends="active", body={"type": "HARD"}),
    "changePassword": Way(ends="active", body={"adminPass": "hunter2-changed"}, refusing=("set_password",)),
    "createImage": Way(ends="active", body={"name": "copy", "metadata": {"a": "b"}}, refusing=("create_image",)),
    "createBackup": Way(
        ends="active",
        body={"name": "copy", "backup_type": "daily", "rotation": 1},
        refusing=("create_image",),
    ),
    "rebuild": Way(
        ends="active",
        body={
            "image_id": "0b3e3a2e-0000-4000-8000-000000000007",
            "admin_pass": "hunter2-rebuilt",
            "columns": {"name": "anew", "server_metadata": {"c": "d"}, "description": None},
            "told": {"metadata": {"c": "d"}, "user_data": None},
        },
    ),
    "rescue": Way(
        ends="rescued",
        body={"image_id": "0b3e3a2e-0000-4000-8000-000000000008", "admin_pass": "hunter2-rescue"},
    ),
    "unrescue": Way(ends="active", before=("rescue",)),
    "shelve": Way(ends="shelved", body={"name": "server-shelved", "offload_after_s": -1}, refusing=("create_image",)),
    "shelveOffload": Way(ends="shelved_offloaded", before=("shelve",)),
    "unshelve": Way(ends="active", before=("shelve", "shelveOffload")),
    "restore": Way(ends="active", before=(SOFT_DELETE,), refusing=("require_room",)),
    "resize": Way(
        ends="resized",
        body=BIGGER,
        refusing=("claim_resize",),
    ),
    "confirmResize": Way(ends="active", before=("resize",)),
    "revertResize": Way(ends="active", before=("resize",)),
    ELSEWHERE: Way(
        ends="resized",
        body=BIGGER | {"same_host": False, "local_disks": [EPHEMERAL]},
        refusing=("claim_resize",),
        action="resize",
    ),
    "confirmResize elsewhere": Way(ends="active", before=(ELSEWHERE,), action="confirmResize"),
    "revertResize elsewhere": Way(ends="active", before=(ELSEWHERE,), action="revertResize"),
}
"""A row of workflows/actions.py without a way here fails every test of tests/workflows/test_actions.py."""


def action_of(way: str) -> str:
    return WAYS[way].action or way
