"""Takes volumes from guests whose attachment was ended behind their back. The volume service has cut such a guest off
before it freed the volume: what is left of it is a disk that answers nothing, and a record that would take the volume,
which may be another server's by now, at the next start."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from activities.following import AGAIN, some_at_once
from infra import logs
from infra.contracts.following import Begins, FollowReport, ServerAtRest
from infra.contracts.volume import parted_id

if TYPE_CHECKING:
    from infra.host.services.volumes_now import VolumesNow
    from infra.starting import Starter
    from infra.stores.followed import FollowedRecords

SECOND_LOOK_S = 2.0
log = logs.get(__name__)


class CutOff:
    """Ended is what two looks by the attachment's own id do not find while the service knows the volume; a list that
    lacks it means nothing."""

    def __init__(self, records: "FollowedRecords", volumes: "VolumesNow", starter: "Starter") -> None:
        self._records, self._volumes, self._starter = records, volumes, starter

    async def take(self, begins: Begins, held: list[ServerAtRest], report: FollowReport) -> None:
        """As the services sort their failures: one that does not answer has said nothing."""
        able = [server for server in held if _may_lose(server, begins)]
        ended = await self._ended(able)
        losing = [(server, volume) for server in able for id, volume in _attached(server).items() if id in ended]
        if not losing:
            return
        ids = {server.id for server, _ in losing}
        tried = await asyncio.to_thread(self._records.failed_lately, begins.action, ids, AGAIN)

        async def settle(one: tuple[ServerAtRest, str]) -> None:
            done = await self._starter.carried_out(begins, one[0], {"volume_id": one[1]})
            report.released += done
            report.left += not done

        await some_at_once([one for one in losing if one[0].id not in tried], settle, report)
        log.warning("volumes whose attachment was ended were taken from guests", **report.model_dump())

    async def _ended(self, held: Iterable[ServerAtRest]) -> set[str]:
        first = await asyncio.to_thread(self._missing, held)
        if not first:
            return first
        losing = [server.id for server in held if _attached(server).keys() & first]
        await asyncio.sleep(SECOND_LOOK_S)
        return first & await asyncio.to_thread(lambda: self._missing(self._records.at_rest(losing)))

    def _missing(self, held: Iterable[ServerAtRest]) -> set[str]:
        """Attachments that are not there. Where another one keeps the volume for its server, that is not cut off: its
        host fell silent while it parted from it."""
        servers, there = list(held), self._volumes.attachments()
        gone = {
            id: volume
            for server in servers
            for id, volume in _attached(server).items()
            if id not in there and parted_id(server.id, volume) not in there
        }
        return set(self._volumes.ended(gone)) if gone else set()


def _may_lose(server: ServerAtRest, begins: Begins) -> bool:
    """A guest that is paused can give nothing back. A build that failed has no host, and asks for its volumes again."""
    if server.vm_state == "error" and not server.host:
        return False
    return server.vm_state in begins.transition.allowed - {"paused"}


def _attached(server: ServerAtRest) -> dict[str, str]:
    """Attachment → volume. Not of the disk that it boots from, which no guest gives back."""
    return {
        volume["attachment_id"]: volume["volume_id"]
        for volume in server.volumes
        if volume.get("attachment_id") and volume.get("boot_index") != 0
    }
