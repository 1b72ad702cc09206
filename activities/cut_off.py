"""Takes volumes from guests whose attachment was ended behind their back. The volume service has cut such a guest off
before it freed the volume: what is left of it is a disk that answers nothing, and a record that would take the volume,
which may be another server's by now, at the next start."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING

from activities.following import AGAIN, some_at_once
from infra import logs
from infra.contracts.following import Begins, FollowReport, ServerAtRest

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
        able = [server for server in held if server.vm_state in begins.transition.allowed - {"paused"}]
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

        report.left += await some_at_once([one for one in losing if one[0].id not in tried], settle)
        log.warning("volumes whose attachment was ended were taken from guests", **report.model_dump())

    async def _ended(self, held: Iterable[ServerAtRest]) -> set[str]:
        there = await asyncio.to_thread(self._volumes.attachments)
        missing = {server.id: _attached(server) for server in held if _attached(server).keys() - there}
        if not missing:
            return set()
        first = await self._ask({id: volume for of in missing.values() for id, volume in of.items() if id not in there})
        if not first:
            return first
        await asyncio.sleep(SECOND_LOOK_S)
        still = await asyncio.to_thread(lambda: list(self._records.at_rest(missing)))
        return await self._ask({id: volume for s in still for id, volume in _attached(s).items() if id in first})

    async def _ask(self, attachments: dict[str, str]) -> set[str]:
        return await asyncio.to_thread(lambda: set(self._volumes.ended(attachments)))


def _attached(server: ServerAtRest) -> dict[str, str]:
    """Attachment → volume. Not of the disk that it boots from, which no guest gives back."""
    return {
        volume["attachment_id"]: volume["volume_id"]
        for volume in server.volumes
        if volume.get("attachment_id") and volume.get("boot_index") != 0
    }
