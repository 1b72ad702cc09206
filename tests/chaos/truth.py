"""What a cloud must show once a storm is over, beside what `kilonova leaks` compares."""

import asyncio
from typing import Any

from infra.contracts.volume import MADE_FOR
from tests.chaos import floating, tunnels
from tests.chaos.cloud import Cloud

SHELVED = ("SHELVED", "SHELVED_OFFLOADED")


async def untruths(cloud: Cloud, parted: set[str]) -> list[str]:
    """Volumes, images and ports that nobody holds or that are said to be what they are not, each as a line.

    `parted`: volumes that stay without a server, since it was asked to give them back. So do those that no server
    was made with, which a tenant has as often as he had to ask."""
    volumes = await _all(cloud, "volume", "/v3/volumes/detail?all_tenants=1", "volumes")
    holders = await _holders(cloud)
    images = await _all(cloud, "image", "/v2/images?limit=1000", "images")
    servers = {s["id"]: s for s in await _all(cloud, "compute", "/v2.1/servers/detail?all_tenants=1", "servers")}
    ports = await _all(cloud, "network", "/v2.0/ports", "ports")
    return [
        *(line for volume in volumes if (line := of_volume(volume, holders.get(volume["id"], []), servers, parted))),
        *(line for image in images if (line := _image(image, servers))),
        *await floating.untruths(cloud),
        *(await tunnels.untruths(cloud) if cloud.apart else ()),
        *(
            f"port {port['id']} belongs to server {port['device_id']}, which is gone"
            for port in ports
            if port["device_owner"].startswith("compute:") and port["device_id"] not in servers
        ),
    ]


def of_volume(volume: dict[str, Any], held: list[str], servers: dict[str, Any], parted: set[str]) -> str:
    """What is wrong with it; "" for nothing. `held`: the servers that have it, or for which it is kept."""
    what = f"volume {volume['id']} is {volume['status']}, attached to {held}"
    offloaded = {servers[id]["status"] for id in held if id in servers} == {"SHELVED_OFFLOADED"}
    if volume["status"] not in _statuses(volume["id"], held, parted, offloaded=offloaded):
        return what
    if offloaded and (hosts := [one["host_name"] for one in volume["attachments"] if one["host_name"]]):
        return f"{what}, which is on no host, and connected to {hosts}"
    if not held and volume["id"] not in parted and (server_id := volume["metadata"].get(MADE_FOR)):
        return f"{what}, and was made for server {server_id}, to go with it"
    for server_id in held:
        shown = servers.get(server_id, {}).get("os-extended-volumes:volumes_attached", ())
        if volume["id"] not in [one["id"] for one in shown]:
            return f"{what}, which does not show it"
    return ""


def _statuses(volume_id: str, held: list[str], parted: set[str], *, offloaded: bool) -> tuple[str, ...]:
    """What an offloaded server has is kept for it, connected to no host: Cinder calls that reserved. What it was given
    since is in use, as Nova has it."""
    if offloaded:
        return ("reserved", "in-use") if volume_id in parted else ("reserved",)
    return ("in-use",) if held else ("available",)


def _image(image: dict[str, Any], servers: dict[str, Any]) -> str:
    if image["status"] != "active":
        return f"image {image['id']} ({image['name']}) is {image['status']}"
    of = image.get("instance_uuid", "")
    if str(image["name"]).endswith("-shelved") and servers.get(of, {}).get("status") not in SHELVED:
        return f"image {image['id']} was made to shelve {of}, which is not shelved"
    return ""


async def _holders(cloud: Cloud) -> dict[str, list[str]]:
    """Servers that have a volume, or for which it is kept, by volume. A volume itself shows only the former."""
    version = {"OpenStack-API-Version": "volume 3.27"}
    answer = await cloud.sure(cloud.admin, "GET", "volume", "/v3/attachments?all_tenants=1", headers=version)
    held: dict[str, list[str]] = {}
    for attachment in answer.json()["attachments"]:
        held.setdefault(attachment["volume_id"], []).append(attachment["instance"])
    return held


async def _all(cloud: Cloud, service: str, path: str, key: str) -> list[dict[str, Any]]:
    answer = await cloud.sure(cloud.admin, "GET", service, path)
    found = list(answer.json()[key])
    assert len(found) < 1000, f"{key}: more than a page"
    return found


async def untruths_that_stay(cloud: Cloud, parted: set[str], within_s: float = 60) -> list[str]:
    """Those that are still there after a minute, which services may need for what a crash left them."""
    end = asyncio.get_running_loop().time() + within_s
    while (found := await untruths(cloud, parted)) and asyncio.get_running_loop().time() < end:
        await asyncio.sleep(3)
    return found
