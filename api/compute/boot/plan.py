"""From a checked body to what the workflow gets: every name resolved, every id chosen."""

import uuid
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row
from sqlmodel import Session

from api.compute.boot import names
from api.compute.boot.disks import DiskPlan, Disks, disks
from api.compute.boot.images import flavor, require_fit
from api.compute.boot.local_disks import with_local_disks
from api.compute.boot.nics import Nic, groups, nics
from api.compute.boot.personality import injected_files
from api.compute.boot.place import Hinted, Place, hints, place
from api.compute.boot.port_quota import servers_with_ports
from api.compute.boot.properties import disk_config, require_machine
from api.compute.boot.signed import require_signed, trusted_by
from api.compute.call import ComputeCall
from api.compute.errors import bad_request, forbidden
from api.compute.records import quotas, server_groups
from api.compute.schemas.servers import ServerCreate
from api.compute.validation import require_hostname
from infra.contracts.injected_files import InjectedFile
from infra.contracts.network import PortRequest
from infra.contracts.volume import VolumeRequest
from infra.stores import usage
from infra.tables.compute import Instance, KeyPair
from workflows.requests import BUILD_OF, BootRequest

COUNTED = ("instances", "cores", "ram")


@dataclass(frozen=True)
class Stored:
    """What the compute store contributes to a boot."""

    flavor: Row[Any]
    key: KeyPair | None
    place: Place
    limits: dict[str, int]
    count: int
    group: str | None
    files: list[InjectedFile]


def plan(call: ComputeCall, wish: ServerCreate, body: dict[str, Any]) -> list[BootRequest]:
    """One request per server. Reads the store and asks the neighbours with the caller's token; changes nothing.

    Raises 400, 403, 404 and 409 as Nova words them."""
    _require_known(call, wish)
    chosen_hints, first = hints(call, body), names.first_id(call, body)
    with call.db.read() as session:
        repeated = names.is_repeatable(call) and session.get(Instance, str(first)) is not None
        stored = _stored(session, call, wish, chosen_hints)
    chosen_disks = with_local_disks(disks(call, wish), stored.flavor)
    trusted = trusted_by(call, wish.trusted_image_certificates)
    require_signed(call, trusted, local=bool(chosen_disks.image_id))
    require_fit(call, stored.flavor, chosen_disks.needs, local=bool(chosen_disks.image_id))
    require_machine(chosen_disks.needs.properties, stored.flavor, local=bool(chosen_disks.image_id))
    cards = nics(call, wish.networks, stored.count)
    made = 0 if repeated else sum(1 for card in cards if not card.port_id)  # a repeat has its ports already
    count = servers_with_ports(call, wish.min_count, stored.count, made)
    group_ids, group_names = groups(call, wish.security_groups)
    shared = _shared(call, wish, stored, chosen_disks) | {
        "trusted_certificates": trusted,
        "hints": chosen_hints.kept,
        "shown_hints": chosen_hints.shown,
        "security_groups": group_ids,
        "security_group_names": group_names if cards else [],
        "digest": names.digest(body),
        "repeatable": names.is_repeatable(call),
    }
    batch = Batch(wish, count, shared, cards, chosen_disks.volumes)
    return [batch.nth(first, n) for n in range(count)]


def _require_known(call: ComputeCall, wish: ServerCreate) -> None:
    """What a schema alone cannot say, and what is not built."""
    require_hostname(call, wish.hostname)
    if wish.networks is None and call.since(37):
        raise bad_request("Invalid input for field/attribute server. 'networks' is a required property")
    if isinstance(wish.networks, str) and not call.since(37):
        raise bad_request("Invalid input for field/attribute networks. It is not of type 'array'")


def _stored(session: Session, call: ComputeCall, wish: ServerCreate, hinted: Hinted) -> Stored:
    chosen = flavor(session, call, wish.flavor_ref)
    key = None
    if wish.key_name:
        key = session.get(KeyPair, (call.context.user_id, wish.key_name))
        if key is None:
            raise bad_request("Invalid key_name provided.")
    limits = quotas.limits(session, call.context.project_id)
    if 0 <= limits["metadata_items"] < len(wish.metadata):
        raise forbidden(f"Maximum number of metadata items exceeds {limits['metadata_items']}")
    files = injected_files(limits, wish.personality)
    count = _count(session, call, wish, chosen, limits)
    group = server_groups.for_boot(session, call, hinted.group)
    return Stored(chosen, key, place(session, call, wish), limits, count, group, files)


def _count(session: Session, call: ComputeCall, wish: ServerCreate, chosen: Row[Any], limits: dict[str, int]) -> int:
    """How many servers: as many as asked for, fewer when the quota leaves room for at least `min_count`."""
    most = wish.max_count or wish.min_count
    if wish.min_count > most:
        raise bad_request("min_count must be <= max_count")
    if most == 1:
        return 1
    if wish.hostname:
        raise bad_request("Unable to allocate a single hostname to multiple instances")
    used = usage.used(session, call.context.project_id)
    for resource, each in zip(COUNTED, (1, chosen.vcpus, chosen.ram), strict=True):
        limit = limits[resource]
        if limit < 0:
            continue
        room = max(limit - used[resource], 0) // each
        if room < wish.min_count:
            raise forbidden(
                f"Quota exceeded for {resource}: Requested {each * wish.min_count}, but already used "
                f"{used[resource]} of {limit} {resource}"
            )
        most = min(most, room)
    return most


def _shared(call: ComputeCall, wish: ServerCreate, stored: Stored, chosen: Disks) -> dict[str, Any]:
    """What all servers of one request have in common."""
    settings = call.settings
    return {
        "requester": call.requester,
        "description": wish.description if call.since(19) else wish.name,
        "image_id": chosen.image_id,
        "image_properties": chosen.needs.properties,
        "local_disks": list(chosen.local),
        "flavor_id": stored.flavor.id,
        "availability_zone": stored.place.zone,
        "forced_host": stored.place.forced_host,
        "requested_host": stored.place.requested_host,
        "server_group": stored.group,
        "group_members": stored.limits["server_group_members"],
        "key_name": stored.key.name if stored.key else None,
        "public_key": stored.key.public_key if stored.key else None,
        "admin_pass": wish.admin_pass or names.password(),
        "user_data": "".join(wish.user_data.split()) if wish.user_data else None,
        "injected_files": stored.files,
        "disk_config": disk_config(wish.disk_config, chosen.needs.properties, chosen.image_id),
        "config_drive": True,  # every guest has one, asked for or not
        "access_ip_v4": wish.access_ip_v4 or None,
        "access_ip_v6": wish.access_ip_v6 or None,
        "metadata": wish.metadata,
        "tags": list(dict.fromkeys(wish.tags)),
        "quota": {resource: stored.limits[resource] for resource in COUNTED},
        "max_hosts": settings.build_max_hosts,
        "deadline_s": settings.build_deadline_s,
        "park_deadline_s": settings.park_deadline_s,
        "build_of": BUILD_OF,
    }


@dataclass(frozen=True)
class Batch:
    """The servers of one request: what they share, and what differs between them."""

    wish: ServerCreate
    count: int
    shared: dict[str, Any]
    nics: list[Nic]
    disks: tuple[DiskPlan, ...]

    def nth(self, first: uuid.UUID, n: int) -> BootRequest:
        own = uuid.UUID(names.nth_id(first, n))
        suffix = f"-{n + 1}" if self.count > 1 else ""
        label = names.hostname(self.wish.name)
        return BootRequest(
            instance_id=str(own),
            name=self.wish.name + suffix,
            hostname=self.wish.hostname or (label + suffix if label else f"server-{own}"),
            reservation_id=names.reservation(first),
            launch_index=n,
            ports=[_port(own, index, nic) for index, nic in enumerate(self.nics)],
            volumes=[_volume(own, index, disk) for index, disk in enumerate(self.disks)],
            **self.shared,
        )


def _port(own: uuid.UUID, index: int, nic: Nic) -> PortRequest:
    return PortRequest(
        port_id=nic.port_id or str(uuid.uuid5(own, f"port/{index}")),
        network_id=nic.network_id,
        fixed_ip=nic.fixed_ip,
        mine=nic.port_id is None,
        tag=nic.tag,
    )


def _volume(own: uuid.UUID, index: int, disk: DiskPlan) -> VolumeRequest:
    return VolumeRequest(
        volume_id=disk.volume_id or str(uuid.uuid5(own, f"volume/{index}")),
        attachment_id=str(uuid.uuid5(own, f"attachment/{index}")),
        create=disk.volume_id is None,
        size_gb=disk.size_gb,
        image_id=disk.image_id,
        snapshot_id=disk.snapshot_id,
        boot_index=disk.boot_index,
        device=disk.device,
        delete_on_termination=disk.delete_on_termination,
        tag=disk.tag,
        bus=disk.bus,
        volume_type=disk.volume_type,
    )
