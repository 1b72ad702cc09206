"""Volumes of an instance on this host: made where asked, attached, given a device (seed steps 26-28)."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from keystoneauth1.session import Session

from infra.contracts.errors import hopeless
from infra.contracts.local_disks import LETTERS, PREFIX
from infra.contracts.volume import Attached, VolumeConnection, VolumeMark, VolumeReimage, VolumeRequest, VolumesOnHost
from infra.host.heartbeats import Heartbeat, at_once, beating
from infra.host.services.cinder import Volumes, endpoint
from infra.host.services.control import ControlClient
from infra.host.services.fence import Fence
from infra.host.services.reimaging import write_image
from infra.settings import Settings


class VolumeConnector:
    """Attaches and detaches all volumes of one instance in parallel.

    `control`: who is asked whether the claim is still this host's. `fenced`: leave alone what another host has by now;
    the control plane, which acts for hosts that are gone, does not."""

    def __init__(
        self, settings: Settings, session: Session, control: ControlClient | None = None, *, fenced: bool = True
    ) -> None:
        self._fence = Fence(settings.host, control)
        self._volumes = Volumes(settings, session, self._fence, fenced)

    def attach(self, want: VolumesOnHost, heartbeat: Heartbeat) -> Attached:
        """See `activities.volume.Volume.attach_volumes`."""
        begun = time.monotonic()
        with self.connected(want, heartbeat) as connections:
            self._fence.require(want)
        return Attached(volumes=connections, parts={"volumes": round(time.monotonic() - begun, 3)})

    @contextmanager
    def connected(self, want: VolumesOnHost, heartbeat: Heartbeat) -> Iterator[list[VolumeConnection]]:
        """All of them attached to this host. What the block ends in failure of is given back when the claim is gone:
        the operation's own undo has been here already."""
        devices = device_names(want.volumes)
        stop = threading.Event()

        def attach(request: VolumeRequest) -> VolumeConnection:
            return self._attach(want, request, devices[request.volume_id], stop)

        with beating(heartbeat), self._fence.unless_lost(want, lambda: self._detach_all(want)):
            yield at_once(attach, want.volumes, stop)

    def reserve(self, want: VolumesOnHost, *, complete: bool = False) -> None:
        """Attach the tenant's own volumes to the instance, before it has a host. `complete`: they are in use."""
        at_once(lambda request: self._volumes.reserve(want, request, complete=complete), want.volumes)

    def require(self, want: VolumesOnHost) -> None:
        """See `activities.services.Services.require_attachments`."""
        at_once(lambda request: self._volumes.require(want.instance_id, request), want.volumes)

    def mark(self, want: VolumeMark, *, goes: bool) -> None:
        self._volumes.mark(want, goes=goes)

    def size(self, volume_id: str) -> int:
        """In GiB. Hopeless (404) when there is no such volume."""
        volume = self._volumes.get(volume_id)
        if volume is None:
            raise hopeless(f"Volume {volume_id} could not be found.", code=404)
        return int(volume["size"])

    def reimage(self, want: VolumeReimage) -> None:
        """See `activities.services.Services.reimage_volume`."""
        write_image(self._volumes, want)

    def detach(self, want: VolumesOnHost, heartbeat: Heartbeat, held: int | None = None) -> None:
        """See `activities.volume.Volume.detach_volumes`. A failed build's own volumes go; with `deleting`, those that
        are to be deleted on termination. `held`: as in `Volumes.detach`."""
        with beating(heartbeat):
            self._detach_all(want, held)

    def part(self, want: VolumesOnHost, heartbeat: Heartbeat) -> None:
        """See `activities.volume.Volume.part_volumes`."""
        with beating(heartbeat):
            at_once(lambda request: self._volumes.part(want, request), want.volumes)

    def _attach(
        self, want: VolumesOnHost, request: VolumeRequest, device: str, stop: threading.Event
    ) -> VolumeConnection:
        if request.create:
            self._volumes.ensure(want, request)
            self._volumes.wait_until_usable(request.volume_id, stop)
        info = self._volumes.attach(want, request, device)
        return VolumeConnection(
            volume_id=request.volume_id,
            attachment_id=info["attachment_id"],
            **endpoint(info),
            boot_index=request.boot_index,
            device=device,
            delete_on_termination=request.delete_on_termination,
            tag=request.tag,
            bus=request.bus,
        )

    def _detach_all(self, want: VolumesOnHost, held: int | None = None) -> None:
        at_once(lambda request: self._detach(want, request, held), want.volumes)

    def _detach(self, want: VolumesOnHost, request: VolumeRequest, held: int | None) -> None:
        gone = self._volumes.detach(want, request, held)
        if gone and (request.delete_on_termination if want.deleting else request.create):
            self._volumes.delete(request.volume_id)


def device_names(volumes: list[VolumeRequest]) -> dict[str, str]:
    """volume id → device: what was asked where it is free, else the next letter. vda is the disk one boots from."""
    taken: dict[str, str] = {}  # volume by letter
    for request in volumes:
        letter = "a" if request.boot_index == 0 else _letter(request)
        if letter and letter not in taken and (letter != "a" or request.boot_index == 0):
            taken[letter] = request.volume_id
    named = set(taken.values())
    free = (letter for letter in LETTERS[1:] if letter not in taken)
    for request in volumes:
        if request.volume_id not in named:
            taken[next(free)] = request.volume_id
    prefixes = {request.volume_id: PREFIX[request.bus] for request in volumes if request.boot_index != 0}
    return {volume_id: prefixes.get(volume_id, "vd") + letter for letter, volume_id in taken.items()}


def _letter(request: VolumeRequest) -> str:
    """Of the name that was asked for; "" when it is none of its bus."""
    name = (request.device or "").removeprefix("/dev/")
    return name[2] if len(name) == 3 and name.startswith(PREFIX[request.bus]) and name[2] in LETTERS else ""
