"""Small worlds for the audit's rules: one server with one of everything, as it should be."""

from typing import Any
from uuid import UUID, uuid5

from infra.contracts.audit import AttachmentSeen, Finding, PortHeld, PortSeen, Server, VolumeSeen, World
from infra.contracts.hypervisor import HostFacts
from infra.contracts.verdict import Known

ID, OTHER, STRANGE = (f"{n}0000000-0000-4000-8000-000000000000" for n in (1, 2, 3))
NET = "40000000-0000-4000-8000-000000000000"


def own(instance_id: str, kind: str, n: int = 0) -> str:
    return str(uuid5(UUID(instance_id), f"{kind}/{n}"))


PORT, ATTACHMENT, VOLUME = own(ID, "port"), own(ID, "attachment"), own(ID, "volume")
TAP = f"tap{PORT[:11]}"


def server(instance_id: str = ID, **values: Any) -> Server:
    """ACTIVE on host `here` by its first claim."""
    known = {"launched": True, "claims": 1, "held": {"here": 1}}
    known |= {name: values.pop(name) for name in list(values) if name in Known.model_fields}
    return Server(
        **{
            "id": instance_id,
            "project_id": "p",
            "user_id": "u",
            "request_id": "req-1",
            "hostname": "vm",
            "vm_state": "active",
            "task_state": None,
            "host": "here",
            "known": Known(**known),
            "ports": (PortHeld(own(instance_id, "port"), NET, ("10.0.0.5",)),),
            "attachments": ((own(instance_id, "attachment"), own(instance_id, "volume")),),
            **values,
        }
    )


def deleted(instance_id: str = ID, **values: Any) -> Server:
    return server(
        instance_id, **{"deleted": True, "held": {}, "vm_state": "deleted", "ports": (), "attachments": (), **values}
    )


def failed(instance_id: str = ID, **values: Any) -> Server:
    gone = {"launched": False, "held": {}, "vm_state": "error", "host": "", "ports": (), "attachments": ()}
    return server(instance_id, **{**gone, **values})


def facts(host: str = "here", **values: Any) -> HostFacts:
    return HostFacts(
        **{
            "host": host,
            "domains": {ID: 1},
            "attempts": {ID: 1},
            "instance_dirs": [ID],
            "ports": {PORT: ID},
            "plugs": True,
            "taps": [TAP],
            "filters": [TAP],
            "dhcp": [NET],
            "answered": [PORT],
            "served": {NET: [PORT]},
            **values,
        }
    )


def world(*servers: Server, **values: Any) -> World:
    """Everything is as it should be, but for `values`."""
    there = {
        "hosts": {"here": facts()},
        "ports": {PORT: PortSeen(ID, "here")},
        "attachments": {ATTACHMENT: AttachmentSeen(ID, VOLUME)},
        "has_ports": True,
        "has_volumes": True,
    }
    return World(**{**there, "servers": {each.id: each for each in servers or (server(),)}, **values})


def bare(*servers: Server, **values: Any) -> World:
    """Nothing anywhere, but for `values`."""
    return world(*servers, **{"hosts": {}, "ports": {}, "attachments": {}, **values})


def shown(found: Any) -> list[tuple[str, str, str, bool]]:
    """(server, host, thing, whether there is a proof) of each finding."""
    findings: list[Finding] = list(found)
    return [(finding.instance_id, finding.host, finding.what, bool(finding.proof)) for finding in findings]


def volume(made_for: str = ID, *, goes: bool = True) -> VolumeSeen:
    return VolumeSeen(made_for, goes)
