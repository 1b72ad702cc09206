"""A device that a guest gave back after its server was told that it keeps it is put in again: the record says so.

QEMU cannot take back a request to release a device. It stays open when nobody waits any more, and is met by the guest's
next reset, or by a guest that hears it late."""

import threading
from typing import Any

import libvirt

from infra import logs
from infra.contracts.guarded import Guarded
from infra.contracts.power_states import PAUSED, RUNNING
from infra.host.guest_steps import GuestSteps
from infra.host.libvirt.definitions import Definitions
from infra.host.libvirt.interfaces import Interfaces, placeless
from infra.host.libvirt.looks import devices, nics
from infra.host.libvirt.machine_xml import kept_limits
from infra.host.parts import Network, Parts

TRIES = 20
"""Of what cannot be put in; then it waits for the next event of its guest, or the next connection."""
log = logs.get(__name__)


class LateReleases(GuestSteps):
    """Call it now and then: it looks at guests of which libvirt told that a device left them, and once at all when the
    connection was opened, since events may have been missed."""

    def __init__(self, parts: Parts, devices: tuple[Interfaces, Definitions, Network]) -> None:
        super().__init__(*parts, pretend=False)
        self._interfaces, self._definitions, self._network = devices
        self._guard = threading.Lock()
        self._told, self._all = dict[str, int](), False

    def follow(self, connection: Any) -> None:
        """Of a connection that was opened just now."""
        event = libvirt.VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED
        connection.domainEventRegisterAny(None, event, lambda _c, domain, *_: self._note(domain.UUIDString()), None)
        self._all = True

    def __call__(self) -> None:
        """A guest that could not be given what it lacks is tried again at the next turns."""
        if not self._told and not self._all:
            return
        ours = self._domains.all()
        with self._guard:
            told, self._told = self._told, {}
            told |= dict.fromkeys(ours, 1) if self._all else {}
            self._all = False
        failed: list[Exception] = []
        for instance_id in sorted(told.keys() & ours.keys()):
            try:
                if any(self._lacks(instance_id)):
                    self._put_back(Guarded(instance_id=instance_id, attempt=self._domains.attempt(instance_id) or 0))
            except Exception as error:
                failed.append(error)
                if told[instance_id] < TRIES:
                    self._note(instance_id, told[instance_id] + 1)
        if failed:
            raise failed[0]

    def _note(self, instance_id: str, tries: int = 1) -> None:
        with self._guard:
            self._told[instance_id] = tries

    def _lacks(self, instance_id: str) -> tuple[dict[str, str], dict[str, str]]:
        """Volumes (device → XML) and interfaces (MAC address → XML) that the guest has kept, and does not have."""
        live, kept = self._domains.live_xml(instance_id), self._definitions.read(instance_id)
        if live is None or kept is None or self._domains.power_state(instance_id) not in (RUNNING, PAUSED):
            return {}, {}
        there, plugged = devices(live), nics(live)
        volumes = {name: xml for name, xml in self._files.volumes(instance_id).items() if name not in there}
        return volumes, {mac: xml for mac, xml in nics(kept).items() if mac not in plugged}

    def _put_back(self, want: Guarded) -> None:
        id = want.instance_id
        with self._at_work(want, lambda *_: None):
            volumes, interfaces = self._lacks(id)
            self._files.let_in(id, volumes)
            for device, xml in volumes.items():
                self._domains.plug(id, device, xml)
            for mac, xml in interfaces.items():
                self._interfaces.plug(id, mac, placeless(xml))
            if interfaces:
                if (limits := kept_limits(self._definitions.read(id) or "")).of_vif:
                    self._network.limit(id, limits)
                self._network.carried(id)
        if interfaces:
            self._network.sync()
        if volumes or interfaces:
            log.warning("devices that a guest gave back late are its own again", instance_id=id,
                        devices=[*volumes, *interfaces])  # fmt: skip
