"""Looks whether servers' volumes have grown or gone behind their back, since what a service tells of it may be lost."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio.exceptions import ApplicationError

from activities.audit import beating
from activities.cut_off import CutOff
from activities.following import AGAIN, some_at_once
from activities.step import Where, step
from infra import logs
from infra.contracts.errors import NeighbourAway
from infra.contracts.following import FollowReport, FollowRequest, ServerAtRest

if TYPE_CHECKING:
    from infra.host.services.volumes_now import VolumesNow
    from infra.starting import Starter
    from infra.stores.followed import FollowedRecords

log = logs.get(__name__)


class Growing:
    def __init__(self, records: "FollowedRecords", volumes: "VolumesNow", starter: "Starter") -> None:
        self._records, self._volumes, self._starter = records, volumes, starter
        self._cut_off = CutOff(records, volumes, starter)

    @step(on=Where.CONTROL, budget=timedelta(minutes=30), tries=0)
    async def follow_volumes(self, want: FollowRequest) -> FollowReport:
        """Have every guest be told of the sizes that its volumes have by now, and give back those whose attachment was
        ended. Safe to repeat: no disk gets smaller, and what was told of or given back is not found again."""
        async with beating():
            return await self.follow(want)

    async def follow(self, want: FollowRequest) -> FollowReport:
        having = await asyncio.to_thread(lambda: [s for s in self._records.at_rest() if s.volumes])
        held = [server for server in having if _sized(server)]
        report = FollowReport(servers=len(held))
        if not having:
            return report
        try:
            if want.release is not None:
                await self._cut_off.take(want.release, having, report)
            sizes = await asyncio.to_thread(self._volumes.sizes) if held else {}
        except (NeighbourAway, ApplicationError) as error:
            log.warning("volumes not looked at", error=str(error))
            return report.model_copy(update={"away": str(error)})
        able = want.extend.transition.allowed
        larger = [
            (server, id) for server in held for id in grown(server, sizes) if server.host and server.vm_state in able
        ]
        if larger:
            ids = {server.id for server, _ in larger}
            tried = await asyncio.to_thread(self._records.failed_lately, want.extend.action, ids, AGAIN)
            larger = [(server, id) for server, id in larger if server.id not in tried]

        async def tell(one: tuple[ServerAtRest, str]) -> None:
            done = await self._starter.carried_out(want.extend, one[0], {"volume_id": one[1]})
            report.grown += done
            report.left += not done

        await some_at_once(larger, tell, report)
        if larger:
            log.info("volumes followed", **report.model_dump())
        return report


def grown(server: ServerAtRest, sizes: dict[str, int]) -> Iterator[str]:
    """Volumes that are larger than what the record says their guest was told."""
    for volume in server.volumes:
        if sizes.get(volume["volume_id"], 0) > _size(volume) > 0:
            yield volume["volume_id"]


def _sized(server: ServerAtRest) -> bool:
    return any(_size(volume) for volume in server.volumes)


def _size(volume: dict[str, object]) -> int:
    """0: the record is of before sizes were kept, and says nothing."""
    size = volume.get("size_gb")
    return size if isinstance(size, int) else 0
