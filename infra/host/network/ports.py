"""Ports of an instance on this host: made or bound in the network service, then plugged (seed steps 23-25)."""

import time
from typing import TYPE_CHECKING, Any

from keystoneauth1.session import Session

from infra.contracts.errors import hopeless, host_cannot
from infra.contracts.network import FixedIp, Plugged, PortAddresses, PortRequest, PortsHeld, PortsOnHost, Vif
from infra.host.heartbeats import Heartbeat, at_once, beating
from infra.host.network import bindings
from infra.host.services.control import ControlClient
from infra.host.services.fence import Fence
from infra.host.services.neutron import Body, Ports
from infra.host.services.ports_now import PortsNow, fixed_ip, mtu_of
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.hostnet.plane import DataPlane


class PortPlugger:
    """`hostnet` is None where this host plugs nothing itself (`host_networking` none, test driver).

    `control`: who is asked whether the claim is still this host's. `fenced`: leave alone ports that another host has by
    now; the control plane, which acts for hosts that are gone, does not."""

    def __init__(
        self,
        settings: Settings,
        session: Session,
        hostnet: "DataPlane | None",
        control: ControlClient | None = None,
        *,
        fenced: bool = True,
    ) -> None:
        self._settings, self._hostnet = settings, hostnet
        self._fence, self._fenced = Fence(settings.host, control), fenced
        self._ports = Ports(settings, session, self._fence, fenced)
        self._now = PortsNow(session, settings.region)

    def plug(self, want: PortsOnHost, heartbeat: Heartbeat) -> Plugged:
        """See `activities.network.Network.plug_ports`; the ports of one instance are handled in parallel."""
        begun = time.monotonic()
        with beating(heartbeat), self._fence.kept(want, lambda: self._unplug_all(want)):
            vifs = at_once(lambda request: self._plug(want, request), want.ports)
        there = [vif for vif in vifs if vif is not None]
        return Plugged(vifs=there, parts={"ports": round(time.monotonic() - begun, 3)})

    def reserve(self, want: PortsOnHost) -> None:
        """Bind the tenant's own ports to the instance, before it has a host."""
        at_once(lambda request: self._ports.reserve(want, request), want.ports)

    def look(self, want: PortsHeld) -> PortAddresses:
        """See `activities.services.Services.look_at_ports`."""
        return self._now.of_server(want)

    def unplug(self, want: PortsOnHost, heartbeat: Heartbeat) -> None:
        """The host's part first: a port that is deleted must not have a tap that still answers for its address."""
        with beating(heartbeat):
            self._unplug_all(want)

    def part(self, want: PortsOnHost, heartbeat: Heartbeat) -> None:
        """See `activities.network.Network.part_ports`."""
        with beating(heartbeat):
            if not (self._fenced and self._fence.superseded(want)):
                at_once(lambda request: self._part(want, request), want.ports)

    def _part(self, want: PortsOnHost, request: PortRequest) -> None:
        if self._hostnet:
            self._hostnet.unplug(request.port_id, want.instance_id)
        self._ports.part(want, request)

    def _plug(self, want: PortsOnHost, request: PortRequest) -> Vif | None:
        port = self._port(want, request)
        if port is None:
            if self._hostnet:
                self._hostnet.unplug(request.port_id, want.instance_id)
            return None
        bridge = bindings.bridge_name(port)
        about = self._ports.network(port["network_id"])
        network = about["network"]
        vif = Vif(
            port_id=port["id"],
            network_id=port["network_id"],
            label=network["name"],
            mac_address=port["mac_address"],
            tap=f"tap{port['id'][:11]}",
            bridge=bridge or ("" if self._hostnet else self._bridge(network)),
            mtu=mtu_of(network),
            fixed_ips=[_fixed_ip(fixed, about["subnets"]) for fixed in port["fixed_ips"]],
            tag=request.tag,
        )
        if not vif.fixed_ips:
            raise hopeless(f"Port {port['id']} requires a FixedIP in order to be used.", code=400)
        if self._hostnet:
            vif = vif.model_copy(update=self._plug_here(want, port, vif, network))
        if self._hostnet is None and port.get("status") != "ACTIVE":  # else once the guest has it
            self._ports.activate(port["id"])
        return vif

    def _port(self, want: PortsOnHost, request: PortRequest) -> Body | None:
        if want.held:
            return self._ports.ensure_held(want, request)
        return self._ports.ensure_own(want, request) if request.mine else self._ports.ensure_bound(want, request)

    def _bridge(self, network: Body) -> str:
        physical = bindings.physical_network(network)
        if not physical:
            return bindings.neutrons_bridge(network["id"])
        return self._settings.bridge_mappings.get(physical, "")

    def _plug_here(self, want: PortsOnHost, port: Body, vif: Vif, network: Body) -> Body:
        """Where the data plane wants the guest's interface: bridge, tap and MTU."""
        # Only hosts that plug need the packages behind it.
        from infra.hostnet.models import PortPlug
        from infra.hostnet.netns import HostNetworkError

        wanted: dict[str, Any] = {
            **vif.model_dump(include={"port_id", "network_id", "mac_address", "mtu", "fixed_ips"}),
            "instance_id": want.instance_id,
            "hostname": want.hostname,
            "network_name": network["name"],
            "physical_network": bindings.physical_network(network),
            "bridge_name": vif.bridge or None,
            "port_security_enabled": port.get("port_security_enabled", True),
            "allowed_address_pairs": port.get("allowed_address_pairs", []),
        }
        assert self._hostnet is not None
        try:
            plug = PortPlug.model_validate(wanted)
            self._hostnet.plug(plug)
            return self._hostnet.bind(plug).model_dump()
        except HostNetworkError as error:
            raise host_cannot(f"port {vif.port_id} could not be plugged on {self._settings.host}: {error}") from error

    def _unplug_all(self, want: PortsOnHost) -> None:
        if self._fenced and self._fence.superseded(want):
            return
        at_once(lambda request: self._unplug(want, request), want.ports)

    def _unplug(self, want: PortsOnHost, request: PortRequest) -> None:
        """Here only what this instance plugged goes: a tenant's port may be another server's by now."""
        if self._hostnet:
            self._hostnet.unplug(request.port_id, want.instance_id)
        actual = self._ports.release(want, request)
        if self._hostnet and actual not in (None, request.port_id):
            self._hostnet.unplug(str(actual), want.instance_id)


def _fixed_ip(fixed: Body, subnets: dict[str, Body]) -> FixedIp:
    subnet = subnets.get(fixed["subnet_id"])
    if subnet is None:
        raise hopeless(f"Subnet {fixed['subnet_id']} could not be found.", code=404)
    return fixed_ip(fixed, subnet)
