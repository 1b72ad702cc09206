"""Interfaces put into a guest and taken out, while it runs and while it does not."""

import libvirt

from infra.contracts.errors import hopeless, host_cannot
from infra.contracts.hypervisor import NicOnGuest
from infra.contracts.power_states import PAUSED, RUNNING
from infra.host.guest_steps import GuestSteps
from infra.host.heartbeats import Heartbeat
from infra.host.libvirt import faults
from infra.host.libvirt.definitions import Definitions
from infra.host.libvirt.domain_xml import interface_xml
from infra.host.libvirt.faults import LibvirtDown
from infra.host.libvirt.interfaces import Interfaces, with_interface
from infra.host.libvirt.machine_xml import kept_limits
from infra.host.parts import Network, Parts


class InterfacePlugger(GuestSteps):
    """The network is brought in line after a tap was made: some of its checks need the taps to exist."""

    def __init__(self, parts: Parts, devices: tuple[Interfaces, Definitions, Network], virt_type: str) -> None:
        super().__init__(*parts, pretend=virt_type == "test")
        self._interfaces, self._definitions, self._network = devices
        self._virt_type = virt_type

    def plug(self, want: NicOnGuest, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.plug_nic`."""
        mac, id = want.vif.mac_address, want.instance_id
        with self._at_work(want, heartbeat):
            if (known := self._definitions.read(id)) is None:
                raise host_cannot("this host has no such server")
            xml = interface_xml(want.vif, self._virt_type, known)
            if self._pretend:
                self._rewrite(id, mac, xml)
                return
            try:
                self._interfaces.plug(id, mac, xml)
            except libvirt.libvirtError as error:
                if isinstance(sorted_as := faults.sort(error, "", []), LibvirtDown):
                    raise sorted_as from None
                raise hopeless(f"Failed to attach network adapter device to {id}", code=409) from error
            self._files.note_drive(id, outdated=True)
            if (limits := kept_limits(known)).of_vif:
                self._network.limit(id, limits)
            if self._domains.power_state(id) in (RUNNING, PAUSED):
                self._network.carried(id)
        self._network.sync()

    def unplug(self, want: NicOnGuest, heartbeat: Heartbeat) -> None:
        """See `activities.hypervisor.Hypervisor.unplug_nic`."""
        mac, id = want.vif.mac_address, want.instance_id
        with self._at_work(want, heartbeat):
            if self._pretend:
                self._rewrite(id, mac, None)
                return
            if want.anew:  # whatever the guest says now
                self._interfaces.forget(id, mac)
            self._take_back(id, mac, lambda: self._interfaces.has(id, mac), lambda: self._interfaces.ask_back(id, mac))
            self._interfaces.forget(id, mac)
            self._files.note_drive(id, outdated=True)

    def _rewrite(self, instance_id: str, mac: str, xml: str | None) -> None:
        """The test driver's domains have devices in their definition only, and forget it with their daemon."""
        if (known := self._definitions.read(instance_id)) is None:
            return
        changed = with_interface(known, mac, xml)
        self._definitions.write(changed)
        running = self._domains.power_state(instance_id) in (RUNNING, PAUSED)
        self._files.keep_domain(instance_id, changed, running=running)
