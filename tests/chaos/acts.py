"""What tenants ask of their servers in a storm: every row of the table of actions, or the reason why not."""

import os
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.chaos.cloud import Cloud, Tenant
from workflows.actions import ACTIONS

LEFT_OUT = {
    "restore": "needs a server that was deleted softly; a storm deletes for good",
    "extend_volume": "an event of the volume service, not a request of a tenant",
    "refresh_network": "an event of the network service, not a request of a tenant; hosts look by themselves as well",
}
ASKED = frozenset(filter(None, os.environ.get("CHAOS_ACTIONS", "").split(",")))
"""Rows that are asked for; empty: every one."""
LARGER = "chaos-larger"
OWN = "chaos-own"
"""Name of volumes that tenants make: whoever asks once more after a lost answer has one that it knows nothing of."""
GROUP = "chaos"
FIXED: dict[str, Any] = {
    "reboot": ({"type": "SOFT"}, {"type": "HARD"}),
    "changePassword": ({"adminPass": "a-new-one"},),  # refused where there is no agent, which is an answer too
    "createImage": ({"name": "chaos-copy"},),
    "createBackup": ({"name": "chaos-backup", "backup_type": "daily", "rotation": 1},),
    "resize": ({"flavorRef": LARGER}, {"flavorRef": "chaos"}),
    "rescue": ({}, {"adminPass": "a-rescue-one"}),
    "addSecurityGroup": ({"name": GROUP},),
    "removeSecurityGroup": ({"name": GROUP},),
    "trigger_crash_dump": (None,),
}


@dataclass(frozen=True)
class Request:
    method: str
    path: str  # below /v2.1/servers/{id}
    json: Any = None
    admin: bool = False  # asked for by an administrator


@dataclass
class Acts:
    """Requests about one server, chosen by dice; `parted`: volumes whose servers were asked to give them back."""

    cloud: Cloud
    dice: random.Random
    parted: set[str] = field(default_factory=set)

    def names(self, vm_state: str) -> list[str]:
        """Rows that pass in this state; now and then any, which is refused, and that is well."""
        rows = [row for row in ACTIONS.values() if row.name not in LEFT_OUT and (not ASKED or row.name in ASKED)]
        if self.dice.random() < 0.85 and (passing := [r for r in rows if vm_state in r.transition.allowed]):
            rows = passing
        return [row.name for row in rows]

    async def request(self, name: str, tenant: Tenant, server: dict[str, Any]) -> Request | None:
        """None when the server has nothing that this could be asked of."""
        if made := DEVICES.get(name):
            return await made(self, tenant, server)
        if name == "rebuild":
            return Request("POST", "/action", {name: {"imageRef": self.cloud.image}})
        return Request("POST", "/action", {name: self.dice.choice(FIXED.get(name, (None,)))})

    async def attach_volume(self, tenant: Tenant, server: dict[str, Any]) -> Request:
        body = {"volumeAttachment": {"volumeId": await self._made(tenant)}}
        return Request("POST", "/os-volume_attachments", body)

    async def _made(self, tenant: Tenant) -> str:
        volume = {"volume": {"size": 1, "name": OWN}}
        made = await self.cloud.sure(tenant, "POST", "volume", "/v3/volumes", json=volume)
        self.parted.add(made.json()["volume"]["id"])
        return str(made.json()["volume"]["id"])

    async def detach_volume(self, tenant: Tenant, server: dict[str, Any]) -> Request | None:
        volume = await self._volume(tenant, server)
        self.parted |= {volume} if volume else set()
        return Request("DELETE", f"/os-volume_attachments/{volume}") if volume else None

    async def swap_volume(self, tenant: Tenant, server: dict[str, Any]) -> Request | None:
        volume = await self._volume(tenant, server)
        if not volume:
            return None
        new = await self._made(tenant)
        self.parted.add(volume)
        return Request("PUT", f"/os-volume_attachments/{volume}", {"volumeAttachment": {"volumeId": new}}, admin=True)

    async def update_attachment(self, tenant: Tenant, server: dict[str, Any]) -> Request | None:
        volume = await self._volume(tenant, server)
        body = {"volumeAttachment": {"volumeId": volume, "delete_on_termination": True}}
        return Request("PUT", f"/os-volume_attachments/{volume}", body) if volume else None

    async def attach_interface(self, tenant: Tenant, server: dict[str, Any]) -> Request:
        return Request(
            "POST", "/os-interface", {"interfaceAttachment": {"net_id": self.dice.choice(self.cloud.networks(tenant))}}
        )

    async def detach_interface(self, tenant: Tenant, server: dict[str, Any]) -> Request | None:
        found = await self._found(tenant, server, "/os-interface", "interfaceAttachments")
        return Request("DELETE", f"/os-interface/{self.dice.choice(found)['port_id']}") if found else None

    async def _volume(self, tenant: Tenant, server: dict[str, Any]) -> str | None:
        found = await self._found(tenant, server, "/os-volume_attachments", "volumeAttachments")
        return str(self.dice.choice(found)["volumeId"]) if found else None

    async def _found(self, tenant: Tenant, server: dict[str, Any], path: str, key: str) -> list[dict[str, Any]]:
        answer = await self.cloud.sure(tenant, "GET", "compute", f"/v2.1/servers/{server['id']}{path}")
        return list(answer.json()[key]) if answer.status_code == 200 else []


Made = Callable[[Acts, Tenant, dict[str, Any]], Awaitable[Request | None]]
DEVICES: dict[str, Made] = {
    "attach_volume": Acts.attach_volume,
    "detach_volume": Acts.detach_volume,
    "swap_volume": Acts.swap_volume,
    "update_attachment": Acts.update_attachment,
    "attach_interface": Acts.attach_interface,
    "detach_interface": Acts.detach_interface,
}


def unknown_rows() -> list[str]:
    """Rows that need a body or a route which nothing here makes: they would be refused each time, unnoticed."""
    known = {*LEFT_OUT, *FIXED, *DEVICES, "rebuild", "unshelve"}
    return [row.name for row in ACTIONS.values() if (row.body is not None or row.route) and row.name not in known]
