"""A world that workflows act upon without any process behind it: hosts, ports and volumes as sets of what is there.

Every step that runs on a host, and each that asks a neighbour, has its effect here, under its own name and with its own
input. What decides (records, claims, states, workflows) is the real code on a store of its own. A step of the project
without an effect here fails `activities()`, so that no new one is left out of the invariants."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, get_type_hints

from temporalio import activity

import activities.agent
import activities.aside
import activities.audit
import activities.hypervisor
import activities.image
import activities.image_record
import activities.moving
import activities.network
import activities.rescue
import activities.security_groups
import activities.services
import activities.shape
import activities.snapshot
import activities.volume
from activities.step import STEPS, Where
from infra.contracts.audit import RepairPlan
from infra.contracts.errors import hopeless, host_cannot
from infra.contracts.hypervisor import Spawned
from infra.contracts.image import DiskOnHost
from infra.contracts.network import FixedIp, Plugged, PortAddresses, PortsFound, Vif
from infra.contracts.power import Power
from infra.contracts.step import Done
from infra.contracts.volume import Attached, VolumeConnection, VolumeSeen
from tests.frame.life import LifeEffects

RUNNING, PAUSED, SHUTDOWN = 1, 3, 4
ENDED = "the attachment was ended"
OF_GUEST = ("domain", "plugged", "nic", "local disk", "carried")
"""What goes with the guest."""
Thing = tuple[str, str, str]
"""(kind, instance id, what): `("port", server, port id)`."""


@dataclass
class World:
    """`here`: what is on each host; `anywhere`: what other services hold; `power`: of each domain."""

    claims: Callable[[str], dict[str, int]]  # instance id → host → attempt of each claim that the control plane says
    here: dict[str, set[Thing]] = field(default_factory=dict)
    anywhere: set[Thing] = field(default_factory=set)
    power: dict[str, int] = field(default_factory=dict)
    marks: dict[str, bool] = field(default_factory=dict)  # volume id → whether it says that it goes with its server
    disks: dict[tuple[str, str], str] = field(default_factory=dict)  # (server, device) → volume, once it was swapped
    parted: set[tuple[str, str]] = field(default_factory=set)  # (server, volume): kept for it, on no host
    at: dict[tuple[str, str], str] = field(default_factory=dict)  # (server, port or attachment) → the host that has it
    in_use: set[str] = field(default_factory=set)  # attachments that are complete, on no host
    written: dict[str, str] = field(default_factory=dict)  # volume id → image that was written over it
    sizes: dict[str, int] = field(default_factory=dict)  # volume id → GiB, as a guest was told
    shelving: set[str] = field(default_factory=set)  # ids of images that shelved servers wait in
    looks: dict[str, PortAddresses] = field(default_factory=dict)  # server → what a look at its ports finds
    plans: dict[str, RepairPlan] = field(default_factory=dict)  # server → what another look says is to be mended
    trusted: list[tuple[str, str, list[str]]] = field(default_factory=list)  # step, image, whom its signature may be by
    guard: threading.RLock = field(default_factory=threading.RLock)

    def things(self) -> list[tuple[str, ...]]:
        """Everything there is, wherever it is."""
        with self.guard:
            return sorted([(h, *t) for h, all in self.here.items() for t in all] + [("", *t) for t in self.anywhere])

    def leaks(self, live: set[str], claimed: set[tuple[str, str]]) -> list[tuple[str, ...]]:
        """What belongs to no server of `live`, or lies on another host than one that is `claimed` for it."""
        found = []
        for host, kind, instance_id, what in self.things():
            if instance_id not in live or (host and (instance_id, host) not in claimed):
                found.append((host, kind, instance_id, what))
        return found

    def require(self, host: str, want: Any) -> None:
        """The fence: a step under a claim that is not (any more) this host's is refused."""
        if getattr(want, "attempt", 0) and self.claims(want.instance_id).get(host) != want.attempt:
            raise host_cannot(f"{host} no longer holds the claim on this server")


class Effects(LifeEffects):
    """What each step does to the world, on one host. Every one may be repeated."""

    def __init__(self, world: World, host: str) -> None:
        self.world, self.host = world, host
        self.mine = world.here.setdefault(host, set())

    def fetch_to_host(self, want: Any) -> DiskOnHost:
        self.world.trusted.append(("fetch_to_host", want.image_id, want.trusted))
        self.mine.add(("disk", want.instance_id, ""))
        return DiskOnHost()

    def remove_disk(self, want: Any) -> None:
        """The server's directory: what lies beside its disk goes along."""
        files = ("disk", "copy", "kept for rebuild", "kept for resize", "kept for rescue", "rescue disk")
        for thing in [t for t in self.mine if t[0] in files and t[1] == want.instance_id]:
            self.mine.discard(thing)

    def plug_ports(self, want: Any) -> Plugged:
        vifs = []
        for port in want.ports:
            if want.held and port.mine and ("port", want.instance_id, port.port_id) not in self.world.anywhere:
                self.mine.discard(("tap", want.instance_id, port.port_id))
                continue
            self.mine.add(("tap", want.instance_id, port.port_id))
            self.world.at[want.instance_id, port.port_id] = self.host
            if port.mine:
                self.world.anywhere.add(("port", want.instance_id, port.port_id))
            ip = FixedIp(ip_address="10.7.0.9", subnet_id="subnet", cidr="10.7.0.0/20")
            vifs.append(
                Vif(
                    port_id=port.port_id,
                    network_id=port.network_id or "net",
                    label="net",
                    mac_address="fa:16:3e:00:00:01",
                    tap="tap",
                    bridge="br",
                    fixed_ips=[ip],
                )
            )
        return Plugged(vifs=vifs)

    def unplug_ports(self, want: Any) -> None:
        for port in want.ports:
            self.mine.discard(("tap", want.instance_id, port.port_id))
            if self._may_end(want, port.port_id):
                self.world.anywhere.discard(("port", want.instance_id, port.port_id))
        for thing in [t for t in self.world.anywhere if t[:2] == ("group", want.instance_id)]:
            self.world.anywhere.discard(thing)

    def part_ports(self, want: Any) -> None:
        for port in want.ports:
            self.mine.discard(("tap", want.instance_id, port.port_id))
            if self.world.at.get((want.instance_id, port.port_id)) == self.host:
                del self.world.at[want.instance_id, port.port_id]

    def part_volumes(self, want: Any) -> None:
        for volume in want.volumes:
            if ("attachment", want.instance_id, volume.attachment_id) not in self.world.anywhere:
                continue
            self.world.parted.add((want.instance_id, volume.volume_id))
            self.world.at.pop((want.instance_id, volume.attachment_id), None)

    def require_attachments(self, want: Any) -> None:
        for volume in want.volumes:
            if ("attachment", want.instance_id, volume.attachment_id) not in self.world.anywhere:
                raise hopeless(ENDED, code=409)

    def attach_volumes(self, want: Any) -> Attached:
        if want.held:
            self.require_attachments(want)
        for volume in want.volumes:
            self.world.anywhere.add(("attachment", want.instance_id, volume.attachment_id))
            self.world.at[want.instance_id, volume.attachment_id] = self.host
            self.world.parted.discard((want.instance_id, volume.volume_id))
            if volume.create:
                self.world.anywhere.add(("volume", want.instance_id, volume.volume_id))
        return Attached(
            volumes=[
                VolumeConnection(volume_id=v.volume_id, attachment_id=v.attachment_id, device="vdb")
                for v in want.volumes
            ]
        )

    def detach_volumes(self, want: Any) -> None:
        for volume in want.volumes:
            if not self._may_end(want, volume.attachment_id):
                continue
            self.world.anywhere.discard(("attachment", want.instance_id, volume.attachment_id))
            self.world.parted.discard((want.instance_id, volume.volume_id))
            if volume.create and (volume.delete_on_termination or not want.deleting):
                self.world.anywhere.discard(("volume", want.instance_id, volume.volume_id))

    def _may_end(self, want: Any, what: str) -> bool:
        """Not what another host has by now, unless the claim is this one's."""
        ours = want.attempt > 0 and self.world.claims(want.instance_id).get(self.host) == want.attempt
        return ours or self.world.at.get((want.instance_id, what), self.host) == self.host

    def spawn(self, spec: Any) -> Spawned:
        along: dict[str, Done] = {}
        if spec.lays:
            begun = datetime.now(UTC)
            disk = self.fetch_to_host(spec.lays)
            along["fetch_to_host"] = disk.model_copy(update={"started_at": begun, "finished_at": datetime.now(UTC)})
        self._define(spec)
        self.world.power[spec.instance_id] = RUNNING
        return Spawned(power_state=RUNNING, along=along)

    def destroy(self, ref: Any) -> None:
        for thing in [t for t in self.mine if t[0] in OF_GUEST and t[1] == ref.instance_id]:
            self.mine.discard(thing)
        self.world.power.pop(ref.instance_id, None)

    def clean_up(self, ref: Any) -> None:
        for thing in [thing for thing in self.mine if thing[1] == ref.instance_id]:
            self.mine.discard(thing)

    def power_off(self, want: Any) -> Power:
        return self._power(want, SHUTDOWN)

    def power_on(self, want: Any) -> Power:
        return self._power(want, RUNNING)

    def start_guest(self, want: Any) -> Power:
        if not self._is_defined(want):
            return Power(power_state=SHUTDOWN, lacking="it has no definition")
        if want.old_drive:
            return Power(power_state=SHUTDOWN, lacking="its config drive tells of other interfaces")
        return self._power(want, RUNNING)

    def reboot(self, want: Any) -> Power:
        assert self._is_defined(want)
        return self._power(want, RUNNING)

    def pause(self, want: Any) -> Power:
        return self._power(want, PAUSED)

    def unpause(self, want: Any) -> Power:
        return self._power(want, RUNNING)

    def suspend(self, want: Any) -> Power:
        return self._power(want, SHUTDOWN)

    def resume(self, want: Any) -> Power:
        return self._power(want, RUNNING)

    def plug_disk(self, want: Any) -> None:
        self.mine.add(("plugged", want.instance_id, want.volume.device))

    def unplug_disk(self, want: Any) -> None:
        self.mine.discard(("plugged", want.instance_id, want.volume.device))

    def give_volume(self, want: Any) -> Done:
        self.attach_volumes(want.on_host)
        self.mine.add(("plugged", want.instance_id, want.volume.device))
        return Done()

    def take_volume(self, want: Any) -> Done:
        self.mine.discard(("plugged", want.instance_id, want.volume.device))
        self.detach_volumes(want.on_host)
        return Done()

    def take_volume_back(self, want: Any) -> Done:
        return self.take_volume(want)

    def swap_disk(self, want: Any) -> None:
        for volume in (want.old, want.new):
            assert ("attachment", want.instance_id, volume.attachment_id) in self.world.anywhere
        self.world.disks[(want.instance_id, want.new.device)] = want.new.volume_id

    def swap_disk_back(self, want: Any) -> None:
        for volume in (want.old, want.new):
            assert ("attachment", want.instance_id, volume.attachment_id) in self.world.anywhere
        self.world.disks[(want.instance_id, want.old.device)] = want.old.volume_id

    def grow_disk(self, want: Any) -> None:
        self.world.sizes[want.volume_id] = want.size_gb

    def look_at_volume(self, want: Any) -> VolumeSeen:
        return VolumeSeen(size_gb=2)

    def plug_nic(self, want: Any) -> None:
        self.mine.add(("nic", want.instance_id, want.vif.port_id))

    def unplug_nic(self, want: Any) -> None:
        self.mine.discard(("nic", want.instance_id, want.vif.port_id))

    def set_password(self, want: Any) -> None:
        pass

    def inject_nmi(self, want: Any) -> Power:
        return Power(power_state=self.world.power.get(want.instance_id, RUNNING))

    def _is_defined(self, want: Any) -> bool:
        """A guest is made anew where its records come along."""
        if want.spec is not None:
            self._define(want.spec)
        return ("domain", want.instance_id, "") in self.mine

    def _define(self, spec: Any) -> None:
        self.mine.add(("domain", spec.instance_id, ""))
        self.mine.update(("local disk", spec.instance_id, disk.file) for disk in spec.local_disks)

    def _power(self, want: Any, state: int) -> Power:
        self.world.power[want.instance_id] = state
        return Power(power_state=state)

    def mark_volume(self, want: Any) -> None:
        self.world.marks[want.volume_id] = want.goes

    def unmark_volume(self, want: Any) -> None:
        self.world.marks[want.volume_id] = want.went

    def look_at_ports(self, want: Any) -> PortAddresses:
        return self.world.looks.get(want.instance_id, PortAddresses())

    def inspect_instance(self, want: Any) -> RepairPlan:
        return self.world.plans.get(want.instance_id, RepairPlan())

    def forget(self, want: Any) -> None:
        pass

    def sync_network(self, want: Any) -> None:
        pass

    def mend_nics(self, want: Any) -> None:
        for vif in want.vifs:
            assert ("tap", want.instance_id, vif.port_id) in self.mine
            self.mine.add(("nic", want.instance_id, vif.port_id))

    def find_ports(self, want: Any) -> PortsFound:
        anywhere = self.world.anywhere
        there = ("group", want.instance_id, want.group_id) in anywhere
        has_port = any(thing[:2] == ("port", want.instance_id) for thing in anywhere)
        return PortsFound(port_ids=["port"] if has_port and there is not want.add else [])

    def change_groups(self, want: Any) -> None:
        self._group(want, want.add)

    def restore_groups(self, want: Any) -> None:
        self._group(want, not want.add)

    def _group(self, want: Any, has: bool) -> None:
        thing = ("group", want.instance_id, want.group_id)
        if want.port_ids:
            (self.world.anywhere.add if has else self.world.anywhere.discard)(thing)

    def reserve_named(self, plan: Any) -> None:
        for volume in plan.volumes:
            self.world.anywhere.add(("attachment", plan.instance_id, volume.attachment_id))
            if plan.in_use:
                self.world.in_use.add(volume.attachment_id)

    def release_services(self, plan: Any) -> None:
        """From the control worker's side; `host` is none."""
        ends = {volume.attachment_id for volume in plan.volumes} | set(plan.port_ids)
        ends |= {v.volume_id for v in plan.volumes if v.create and (v.delete_on_termination or plan.failed)}
        whole = {"group"} if plan.port_ids else set()
        for thing in [t for t in self.world.anywhere if t[1] == plan.instance_id]:
            if thing[0] in whole or thing[2] in ends:
                self.world.anywhere.discard(thing)
        self.world.parted -= {(plan.instance_id, volume.volume_id) for volume in plan.volumes}


READS = frozenset(
    ("console_output", "console_target", "diagnostics", "host_facts", "audit_cloud", "follow_ports", "follow_volumes")
)
"""Steps that no workflow of a server's runs."""
TIMERS = frozenset(("set_timer", "begin_due"))
"""Steps that ask Temporal alone, and do so here as well."""
CLASSES = (
    activities.agent.Agent,
    activities.aside.Kept,
    activities.audit.Audit,
    activities.hypervisor.Hypervisor,
    activities.image.Image,
    activities.image_record.ImageRecord,
    activities.moving.Moving,
    activities.network.Network,
    activities.rescue.Rescue,
    activities.security_groups.SecurityGroups,
    activities.shape.Shape,
    activities.services.Services,
    activities.snapshot.Snapshot,
    activities.volume.Volume,
)


def activities_on(world: World, host: str, where: Where) -> list[Callable[..., Any]]:
    """The steps of `where` as activities that change the world; AssertionError names one that has no effect here."""
    effects, found = Effects(world, host), []
    for name, facts in STEPS.items():
        if facts.where is not where or name in READS | TIMERS:
            continue
        effect = getattr(effects, name, None)
        assert effect is not None, f"the step {name} has no effect in tests/frame/world.py"
        declared = next(getattr(each, name) for each in CLASSES if hasattr(each, name))
        found.append(_activity(name, effect, declared, world, host))
    return found


def _activity(
    name: str, effect: Callable[[Any], Any], declared: Callable[..., Any], world: World, host: str
) -> Callable[..., Any]:
    def run(want: Any) -> Any:
        with world.guard:
            if host:
                world.require(host, want)
            return effect(want)

    hints = get_type_hints(declared)
    wanted = next(kind for key, kind in hints.items() if key != "return")
    run.__annotations__ = {"want": wanted, "return": hints.get("return", type(None))}
    return activity.defn(name=name, no_thread_cancel_exception=True)(run)
