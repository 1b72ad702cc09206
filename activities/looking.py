"""One look at records, hosts and services, in the words of `infra.contracts.audit`; it is judged elsewhere."""

import asyncio
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from activities.auditing.marks import bound_port, made_port
from activities.auditing.set_aside import fate
from infra.contracts.audit import AttachmentSeen, PortSeen, RepairRequest, World
from infra.contracts.errors import NeighbourAway
from infra.contracts.hypervisor import HostFacts

if TYPE_CHECKING:
    from infra.auditing.hosts import AuditedHosts
    from infra.auditing.services import AuditedServices
    from infra.stores.audited import AuditedRecords

AT_ONCE = 500
In = TypeVar("In")


class Looker:
    """Reads pages; keeps of each thing the few words that are compared, and of foreign things nothing."""

    def __init__(self, records: "AuditedRecords", hosts: "AuditedHosts", services: "AuditedServices") -> None:
        self._records, self._hosts, self._services = records, hosts, services

    async def look(self, want: RepairRequest | None = None) -> World:
        """At everything, or at what concerns one server and the things that were found of it.

        Records come last for whatever was found elsewhere: what was made meanwhile must not look like a leak."""
        world = World(only=want.instance_id if want else "")
        await asyncio.to_thread(self._read_records, world)
        answers = await self._hosts.facts(_hosts_of(world, want) if want else None)
        for host, facts in answers.items():
            self._add_host(world, host, facts)
        await asyncio.to_thread(self._read_services, world, want)
        await asyncio.to_thread(self._resolve, world, _on_hosts(world))
        await asyncio.to_thread(self._read_left, world)
        return world

    def _read_records(self, world: World) -> None:
        found = self._records.by_id([world.only]) if world.only else self._records.live()
        world.servers = {server.id: server for server in found}
        world.consoles = self._records.with_console(world.only)
        if not world.only:
            world.claims = self._records.claims_without_record()
            self._resolve(world, self._records.deleted_with_claims())

    def _read_left(self, world: World) -> None:
        for host, facts in world.hosts.items():
            if facts.left:
                world.left[host] = self._records.standings(host, facts.left, fate)

    def _add_host(self, world: World, host: str, facts: HostFacts | None) -> None:
        if facts is None:
            world.unreachable.append(host)
        else:
            world.hosts[host] = facts

    def _read_services(self, world: World, want: RepairRequest | None) -> None:
        try:
            self._read_ports(world, want)
            if want is None:
                self._read_told(world)
            world.has_ports = True
        except NeighbourAway:
            world.unreachable.append("network")
        try:
            if self._services.has_volumes():
                self._read_volumes(world, want)
                world.has_volumes = True
        except NeighbourAway:
            world.unreachable.append("block-storage")
        try:
            self._read_images(world)
        except NeighbourAway:
            world.unreachable.append("image")
        self._resolve(world, world.consoles)

    def _read_images(self, world: World) -> None:
        for page in _pages(self._services.shelved_images(world.only)):
            world.images |= self._records.shelved_into(dict(page))
        self._resolve(world, world.images.values())

    async def look_at_networks(self, hosts: Iterable[str]) -> World:
        """At what these hosts' network service told them, and what they have of it; at nothing else."""
        world = World()
        for host, facts in (await self._hosts.facts(hosts)).items():
            self._add_host(world, host, facts)
        await asyncio.to_thread(self._read_told, world)
        return world

    def _read_told(self, world: World) -> None:
        """After the hosts' own words: what was told and has gone meanwhile is seen by the next look."""
        for host, facts in world.hosts.items():
            told = self._services.told(host) if facts.network else None
            if told is not None:
                world.told[host] = told

    def _read_ports(self, world: World, want: RepairRequest | None) -> None:
        services = self._services
        found = services.ports_of(want.instance_id, want.things("port")) if want else services.ports()
        for page in _pages(found):
            self._resolve(world, (seen.device_id for _, seen in page))
            world.ports |= {id: seen for id, seen in page if _concerns(world, id, seen)}

    def _read_volumes(self, world: World, want: RepairRequest | None) -> None:
        services = self._services
        server = world.servers.get(world.only)
        known = [id for id, _ in server.attachments] if server else []
        attachments = services.attachments_of({*want.things("attachment"), *known}) if want else services.attachments()
        for page in _pages(attachments):
            self._resolve(world, (seen.instance_id for _, seen in page))
            found = {id: seen for id, seen in page if seen.instance_id}
            asked = self._records.asked_for({id: seen for id, seen in found.items() if _is_left(world, seen)})
            world.attachments |= found | {id: replace(found[id], asked_for=True) for id in asked}
        volumes = services.volumes_of(want.things("volume")) if want else services.volumes()
        for some in _pages(volumes):
            self._resolve(world, (seen.made_for for _, seen in some))
            world.volumes |= dict(some)

    def _resolve(self, world: World, ids: Iterable[str]) -> None:
        """Records of the servers that something names, deleted ones too."""
        missing = {id for id in ids if id} - world.servers.keys()
        world.servers |= {server.id: server for server in self._records.by_id(missing)}


def _is_left(world: World, seen: AttachmentSeen) -> bool:
    """Whether a record says that its server keeps nothing."""
    return (server := world.servers.get(seen.instance_id)) is not None and not server.keeps


def _concerns(world: World, id: str, seen: PortSeen) -> bool:
    return seen.device_id in world.servers or made_port(id, seen) or bound_port(seen)


def _on_hosts(world: World) -> Iterator[str]:
    for facts in world.hosts.values():
        yield from (*facts.domains, *facts.instance_dirs, *facts.ports.values())


def _hosts_of(world: World, want: RepairRequest) -> set[str]:
    server = world.servers.get(want.instance_id)
    return want.hosts | ({server.host, *server.known.held} if server else set())


def _pages(things: Iterable[In]) -> Iterator[list[In]]:
    iterator = iter(things)
    while page := list(islice(iterator, AT_ONCE)):
        yield page
