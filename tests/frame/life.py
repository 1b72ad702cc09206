"""Effects of the steps that copy a server's disk, or keep a guest as it was."""

from typing import Any

from infra.contracts.image import DiskOnHost
from infra.contracts.power import Power
from infra.contracts.snapshot import SHELVED, Uploaded

RUNNING, SHUTDOWN = 1, 4


class LifeEffects:
    """`mine`: what is on this host; `world.anywhere`: what other services hold. An image that is active belongs to no
    server any more."""

    world: Any
    mine: set[tuple[str, str, str]]
    plug_ports: Any
    attach_volumes: Any
    _define: Any

    def create_image(self, want: Any) -> None:
        if SHELVED in want.properties:
            self.world.shelving.add(want.image_id)
        self.world.anywhere.add(("unfinished image", want.instance_id, want.image_id))

    def drop_image(self, want: Any) -> None:
        self.world.anywhere.discard(("unfinished image", want.instance_id, want.image_id))
        self.world.anywhere.discard(("shelved image", want.instance_id, want.image_id))

    def require_image(self, want: Any) -> None:
        assert ("shelved image", want.instance_id, want.image_id) in self.world.anywhere

    def rotate_backups(self, want: Any) -> None:
        pass

    def hold_still(self, want: Any) -> None:
        self.mine.add(("frozen", want.instance_id, ""))

    def let_go(self, want: Any) -> None:
        self.mine.discard(("frozen", want.instance_id, ""))

    def thaw(self, want: Any) -> None:
        self.let_go(want)

    def require_snapshot_room(self, want: Any) -> None:
        pass

    def snapshot_volumes(self, want: Any) -> None:
        for each in want.volumes:
            self.world.anywhere.add(("snapshot of a volume", want.instance_id, each.snapshot_id))

    def drop_volume_snapshots(self, want: Any) -> None:
        for each in want.volumes:
            self.world.anywhere.discard(("snapshot of a volume", want.instance_id, each.snapshot_id))

    def fill_empty_image(self, want: Any) -> None:
        """From now on image and snapshots are the tenant's."""
        for kind in ("unfinished image", "snapshot of a volume"):
            for thing in [t for t in self.world.anywhere if t[:2] == (kind, want.instance_id)]:
                self.world.anywhere.discard(thing)

    def take_snapshot(self, want: Any) -> Uploaded:
        self.mine.add(("copy", want.instance_id, want.image_id))
        return Uploaded()

    def upload_snapshot(self, want: Any) -> Uploaded:
        assert ("copy", want.instance_id, want.image_id) in self.mine
        self.world.anywhere.discard(("unfinished image", want.instance_id, want.image_id))
        if want.image_id in self.world.shelving:
            self.world.anywhere.add(("shelved image", want.instance_id, want.image_id))
        return Uploaded(uploaded_bytes=1)

    def remove_snapshot(self, want: Any) -> None:
        self.mine.discard(("copy", want.instance_id, want.image_id))

    def cache_image(self, want: Any) -> DiskOnHost:
        self.world.trusted.append(("cache_image", want.image_id, want.trusted))
        return DiskOnHost()

    def reimage_volume(self, want: Any) -> None:
        assert self.world.power.get(want.instance_id, SHUTDOWN) == SHUTDOWN, "the guest writes to it"
        assert (want.instance_id, want.volume_id) in self.world.parted, "a host has it"
        assert ("attachment", want.instance_id, want.attachment_id) in self.world.anywhere, "it may be another server's"
        self.world.written[want.volume_id] = want.image_id

    def set_aside(self, want: Any) -> Power:
        self.world.power[want.instance_id] = SHUTDOWN
        self.mine.add((f"kept for {want.label}", want.instance_id, ""))
        return Power(power_state=SHUTDOWN)

    def bring_back(self, want: Any) -> None:
        self.mine.discard((f"kept for {want.label}", want.instance_id, ""))
        self.world.power[want.instance_id] = RUNNING if want.runs else SHUTDOWN

    def forget_aside(self, want: Any) -> None:
        self.mine.discard((f"kept for {want.label}", want.instance_id, ""))

    def fetch_rescue_disk(self, want: Any) -> DiskOnHost:
        self.world.trusted.append(("fetch_rescue_disk", want.image_id, want.trusted))
        self.mine.add(("rescue disk", want.instance_id, ""))
        return DiskOnHost()

    def remove_rescue_disk(self, want: Any) -> None:
        self.mine.discard(("rescue disk", want.instance_id, ""))

    def boot_rescue(self, want: Any) -> Power:
        assert {kind for kind, id, _ in self.mine if id == want.instance_id} >= {"rescue disk", "kept for rescue"}
        self.world.power[want.instance_id] = RUNNING
        return Power(power_state=RUNNING)

    def reshape(self, want: Any) -> None:
        for thing in [t for t in self.mine if t[:2] == ("local disk", want.instance_id)]:
            self.mine.discard(thing)
        self.mine.update(("local disk", want.instance_id, disk.file) for disk in want.local_disks)

    def check_shape(self, want: Any) -> Power:
        assert ("domain", want.instance_id, "") in self.mine
        return Power(power_state=self.world.power.get(want.instance_id, SHUTDOWN))

    def leave_host(self, want: Any) -> Power:
        self.world.power[want.instance_id] = SHUTDOWN
        return Power(power_state=SHUTDOWN)

    def come_back(self, want: Any) -> Power:
        self.plug_ports(want.ports)
        self.attach_volumes(want.volumes)
        return self._made(want.spec, want.runs)

    def pack_files(self, want: Any) -> Uploaded:
        assert self.world.power.get(want.instance_id, SHUTDOWN) == SHUTDOWN, "the guest writes to its disks"
        return self.take_snapshot(want)

    def unpack_files(self, want: Any) -> Uploaded:
        """What lay in ephemeral disks is here now, or it is not."""
        assert ("shelved image", want.instance_id, want.image_id) in self.world.anywhere
        assert ("domain", want.instance_id, "") not in self.mine
        self.mine.add(("carried", want.instance_id, ""))
        return Uploaded()

    def drop_files(self, want: Any) -> None:
        self.mine.discard(("carried", want.instance_id, ""))

    def arrive(self, want: Any) -> Power:
        return self._made(want, want.runs)

    def _made(self, spec: Any, runs: bool) -> Power:
        self._define(spec)
        self.world.power[spec.instance_id] = RUNNING if runs else SHUTDOWN
        return Power(power_state=self.world.power[spec.instance_id])
