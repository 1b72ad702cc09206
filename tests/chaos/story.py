"""The whole story of what a storm found: what the services say of the things that it names, what became of the
operations on their servers, what the storm asked for, and what the logs said of all of them."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

from infra.contracts.volume import MADE_FOR
from tests.chaos.cloud import ID, KILLED, NO_ANSWER, Cloud

Body = dict[str, Any]
Seen = tuple[list[str], list[str]]
"""What is told of a thing, and the ids of what belongs to it."""
STORIES, THINGS, LINES, WIDTH = 6, 12, 80, 400
"""Of so many findings, with so many things each, so many lines of logs, and so many characters a line."""
ELSEWHERE = (("network", "/v2.0/ports/", "port"), ("image", "/v2/images/", ""))
STANDING = ("status", "OS-EXT-STS:vm_state", "OS-EXT-STS:task_state", "OS-EXT-SRV-ATTR:host", "fault")
DULL = frozenset({"links", "connection_info"})
ATTACHMENT = "attachment "
LOOK = '"method": "GET"'
HELD = "os-extended-volumes:volumes_attached"


async def told(cloud: Cloud, findings: list[str]) -> list[str]:
    """Lines, of the first findings; none without any."""
    lines = [line for finding in findings[:STORIES] for line in await _story(cloud, finding)]
    return [*lines, "== everything that was killed", *naming(cloud.asked, [KILLED])] if lines else []


async def _story(cloud: Cloud, finding: str) -> list[str]:
    """From what the finding names to what belongs to it: a volume's server, a server's volumes, their attachments."""
    lines, ids, near = [f"== {finding}"], dict[str, None](), ID.findall(finding)
    while near and len(ids) < THINGS:
        if (id := near.pop(0)) not in ids:
            said, more = await _look(cloud, id)
            ids[id] = None
            lines += said
            near += more
    known = [*ids, *near, *(id for line in lines if line.startswith(ATTACHMENT) for id in ID.findall(line))]
    asked = naming(cloud.asked, [*known, NO_ANSWER])
    return [*lines, "-- asked for", *last(asked), "-- logged", *last(logged(cloud.settings.log_dir, known))]


async def _look(cloud: Cloud, id: str) -> Seen:
    if (seen := await _server(cloud, id)) or (seen := await _volume(cloud, id)):
        return seen
    for service, path, key in ELSEWHERE:
        answer = await cloud.sure(cloud.admin, "GET", service, path + id)
        if answer.status_code == 200:
            thing = answer.json()[key] if key else answer.json()
            owner = thing.get("device_id") or thing.get("instance_uuid")
            return [f"{service} has {id}: {_short(thing)}"], [owner] if owner else []
    return [f"no service has {id}"], []


async def _server(cloud: Cloud, id: str) -> Seen | None:
    """As it is, if it is there; its actions with their steps, oldest first, deleted or not."""
    path = f"/v2.1/servers/{id}"
    actions = await cloud.sure(cloud.admin, "GET", "compute", f"{path}/os-instance-actions")
    if actions.status_code != 200:
        return None
    shown = await cloud.sure(cloud.admin, "GET", "compute", path)
    server: Body = shown.json()["server"] if shown.status_code == 200 else {}
    lines = [f"server {id}: {_short({name: server.get(name) for name in (*STANDING, HELD)}) if server else 'gone'}"]
    for action in reversed(actions.json()["instanceActions"]):
        one = await cloud.sure(cloud.admin, "GET", "compute", f"{path}/os-instance-actions/{action['request_id']}")
        lines += _action(one.json()["instanceAction"] if one.status_code == 200 else action)
    return lines, [each["id"] for each in server.get(HELD, ())]


async def _volume(cloud: Cloud, id: str) -> Seen | None:
    answer = await cloud.sure(cloud.admin, "GET", "volume", f"/v3/volumes/{id}")
    if answer.status_code != 200:
        return None
    path = f"/v3/attachments/detail?all_tenants=1&volume_id={id}"
    found = await cloud.sure(cloud.admin, "GET", "volume", path, headers={"OpenStack-API-Version": "volume 3.27"})
    volume, held = answer.json()["volume"], found.json()["attachments"]
    servers = [id for id in {volume["metadata"].get(MADE_FOR), *(each["instance"] for each in held)} if id]
    was = [f"{ATTACHMENT}of a build: {uuid5(UUID(server), f'attachment/{n}')}" for server in servers for n in range(2)]
    lines = [f"volume {id}: {_short(volume)}", *was, *(f"{ATTACHMENT}{_short(each)}" for each in held)]
    return lines, servers


def _action(action: Body) -> Iterator[str]:
    yield f"  {action['start_time']} {action['action']} {action['request_id']} {action['message'] or ''}".rstrip()
    for event in sorted(action.get("events", ()), key=lambda event: event["start_time"] or ""):
        when = f"{event['start_time']} to {event['finish_time']}"
        yield f"    {when} {event['event']} {event['host'] or ''} {event['result']} {_short(event['traceback'] or '')}"


def logged(folder: Path, ids: list[str]) -> Iterator[str]:
    """Lines of all processes' logs that name one of them, in the order of their times; of requests those that may have
    changed something."""
    files = [*folder.glob("*.log.1"), *folder.glob("*.log")]
    lines = (line for file in files for line in file.read_text(errors="replace").splitlines() if LOOK not in line)
    yield from sorted(_as_told(line) for line in naming(lines, ids))


def _as_told(line: str) -> str:
    try:
        said = json.loads(line)
        return f"{said.pop('timestamp')} {said.pop('process', '')} {said.pop('event')} {_short(said)}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return line.strip()[:WIDTH]


def naming(lines: Iterable[str], ids: Iterable[str]) -> Iterator[str]:
    wanted = list(ids)
    return (line for line in lines if any(id in line for id in wanted))


def last(lines: Iterable[str]) -> list[str]:
    kept = list(lines)
    return [*([f"… {left} more before"] if (left := len(kept) - LINES) > 0 else []), *kept[-LINES:]]


def _short(thing: Any) -> str:
    if isinstance(thing, dict):
        thing = json.dumps({name: value for name, value in thing.items() if value and name not in DULL}, default=str)
    return str(thing)[:WIDTH].replace("\n", " ")
