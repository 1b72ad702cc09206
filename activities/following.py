"""Looks whether servers' ports are as their records have them, since what a service tells of a change may be lost.

What a look finds is done as if it had been told: by an operation under the server's own workflow id. What would be
taken away needs two looks; a service that is away, or answers with less, has said nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from temporalio.exceptions import ApplicationError

from activities.audit import beating
from activities.step import Where, step
from infra import logs
from infra.contracts.errors import NeighbourAway
from infra.contracts.following import Begins, FollowReport, FollowRequest, ServerAtRest
from infra.contracts.network import PortNow, differ

if TYPE_CHECKING:
    from infra.host.services.ports_now import PortsNow
    from infra.starting import Starter
    from infra.stores.followed import FollowedRecords

SECOND_LOOK_S = 2.0
AT_ONCE = 8
MOST = 250
"""Servers of one look that get an operation; the next look goes on."""
AGAIN = timedelta(hours=1)
"""A guest that did not give an interface back is asked again after so long."""
Found = TypeVar("Found")
log = logs.get(__name__)


async def some_at_once(
    found: Sequence[Found], settle: Callable[[Found], Awaitable[None]], report: FollowReport
) -> None:
    """Settle what a look found, `AT_ONCE` at a time; what is left to the next look is counted beside what `settle`
    counts."""
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(each: Found) -> None:
        async with gate:
            await settle(each)

    await asyncio.gather(*(one(each) for each in found[:MOST]))
    report.left += len(found[MOST:])


@dataclass(frozen=True)
class Differs:
    """`gone`: ports that leave the server; `refresh`: the record is to take over what its ports are now."""

    server: ServerAtRest
    gone: tuple[str, ...]
    refresh: bool


class Following:
    def __init__(self, records: "FollowedRecords", ports: "PortsNow", starter: "Starter") -> None:
        self._records, self._ports, self._starter = records, ports, starter

    @step(on=Where.CONTROL, budget=timedelta(minutes=30), tries=0)
    async def follow_ports(self, want: FollowRequest) -> FollowReport:
        """Have every record that is not what its server's ports are follow them. Safe to repeat: what was followed is
        found to be so."""
        async with beating():
            return await self.follow(want)

    async def follow(self, want: FollowRequest) -> FollowReport:
        try:
            servers, differing = await self._look(want)
        except NeighbourAway as error:
            log.warning("ports not looked at", error=str(error))
            return FollowReport(away=str(error))
        except ApplicationError as error:  # refused, as a page is whose first port was just deleted
            log.warning("ports not looked at", error=error.message)
            return FollowReport(away=error.message)
        report = FollowReport(servers=servers)
        await some_at_once(differing, lambda one: self._settle(want, one, report), report)
        if differing:
            log.info("ports followed", **report.model_dump())
        return report

    async def _look(self, want: FollowRequest) -> tuple[int, list[Differs]]:
        held = await asyncio.to_thread(lambda: [one for one in self._records.at_rest() if one.networks])
        if not held:
            return 0, []
        seen = await asyncio.to_thread(self._ports.all)
        gone = await self._gone(held, seen) if any(_missing(server, seen) for server in held) else frozenset()
        found = [differs(server, seen, gone, want.detach.transition.allowed) for server in held]
        differing = [one for one in found if one.gone or one.refresh]
        losing = [one.server.id for one in differing if one.gone]
        if losing:
            tried = await asyncio.to_thread(self._records.failed_lately, want.detach.action, losing, AGAIN)
            differing = [replace(one, gone=()) if one.server.id in tried else one for one in differing]
            differing = [one for one in differing if one.gone or one.refresh]
        return len(held), differing

    async def _gone(self, held: list[ServerAtRest], seen: dict[str, PortNow]) -> frozenset[str]:
        """By two looks, at the ports and at whose they are: a record may have let one go meanwhile."""
        knows = any(port["port_id"] in seen for server in held for port in server.networks)
        first = await self._ask(held, seen, knows)
        if not first:
            return frozenset()
        await asyncio.sleep(SECOND_LOOK_S)
        having = {server.id for server in held if first & _missing(server, seen).keys()}
        still = await asyncio.to_thread(lambda: list(self._records.at_rest(having)))
        return frozenset(first & await self._ask(still, seen, knows))

    async def _ask(self, held: Iterable[ServerAtRest], seen: dict[str, PortNow], knows: bool) -> set[str]:
        owners, networks = {}, {}
        for server in held:
            for port_id, network_id in _missing(server, seen).items():
                owners[port_id], networks[port_id] = server.id, network_id
        return set(await asyncio.to_thread(lambda: self._ports.gone(owners, networks, knows=knows)))

    async def _settle(self, want: FollowRequest, one: Differs, report: FollowReport) -> None:
        for port_id in one.gone:
            if not await self._begin(want.detach, one.server, {"port_id": port_id}):
                report.left += 1
                return
            report.gone += 1
        if one.refresh:
            done = await self._begin(want.refresh, one.server, {})
            report.refreshed += done
            report.left += not done

    async def _begin(self, begins: Begins, server: ServerAtRest, body: dict[str, Any]) -> bool:
        return await self._starter.carried_out(begins, server, body)


def differs(server: ServerAtRest, seen: dict[str, PortNow], gone: frozenset[str], pluggable: frozenset[str]) -> Differs:
    """A port leaves a server whose guest can give it back; of another one only its addresses go, until it can. A guest
    that is paused can give nothing back."""
    lost = tuple(port["port_id"] for port in server.networks if port["port_id"] in gone)
    leaves = server.vm_state in pluggable - {"paused"} and bool(server.host)
    hidden = not leaves and any(port["fixed_ips"] for port in server.networks if port["port_id"] in gone)
    changed = any(_changed(port, seen.get(port["port_id"]), server.id) for port in server.networks)
    return Differs(server, lost if leaves else (), hidden or changed)


def _changed(port: dict[str, Any], seen: PortNow | None, server_id: str) -> bool:
    """Not being seen is no change. A record of before there was a digest says nothing of what its drive tells."""
    if seen is None or seen.device_id != server_id:
        return False
    known = port.get("now")
    return sorted(port["fixed_ips"]) != sorted(seen.fixed_ips) or (known is not None and differ(known, seen.told))


def _missing(server: ServerAtRest, seen: dict[str, PortNow]) -> dict[str, str]:
    """Port → network, of those that were not seen as this server's."""
    ports = ((port["port_id"], port["network_id"]) for port in server.networks)
    return {id: net for id, net in ports if id not in seen or seen[id].device_id != server.id}
