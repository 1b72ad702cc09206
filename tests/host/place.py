"""A host that follows the network service, a tenant on it, and what stands in for guests."""

from typing import Any

from infra.contracts.network import PortRequest, PortsOnHost
from infra.host.network.ports import PortPlugger
from infra.host.network.states import PortStates
from infra.host.network.topology import TopologyPoll
from infra.hostnet.models import PortPlug
from infra.hostnet.network import HostNetwork
from infra.settings import Settings
from tests.host.cloud import Cloud, User, new_id
from tests.hostnet.conftest import StandIn, ip


class Place:
    """A host that follows the network service, a tenant on it, and a machine outside."""

    def __init__(self, cloud: Cloud, settings: Settings, admin: User, tenant: User) -> None:
        self.cloud, self.settings, self.admin, self.tenant = cloud, settings, admin, tenant
        self.plane = HostNetwork(settings)
        self.states = PortStates(settings, cloud.session, self.plane)
        self.poll = TopologyPoll(settings, cloud.session, self.plane, self.states)
        self.guests: list[StandIn] = []
        self._made: list[tuple[str, str]] = []

    def make(self, kind: str, *, by: User | None = None, **fields: Any) -> dict[str, Any]:
        path = f"{kind.replace('_', '-')}s"
        body = (by or self.tenant).call("network", "POST", f"/v2.0/{path}", {kind: fields})[kind]
        self._made.append((path, body["id"]))
        return dict(body)

    def guest(self, network: dict[str, Any], *ports: int) -> StandIn:
        """What a build leaves, with a stand-in for the guest that takes the address by hand."""
        plugger = PortPlugger(self.settings, self.cloud.session, self.plane, self.cloud.control)
        instance = self.cloud.claim(new_id())
        want = PortsOnHost(
            instance_id=instance,
            project_id=self.tenant.project_id,
            hostname="guest",
            ports=[PortRequest(port_id=new_id(), network_id=network["id"])],
            attempt=1,
        )
        vif = plugger.plug(want, lambda *_: None).vifs[0]
        plug = PortPlug.model_validate({**vif.model_dump(), "instance_id": instance})
        guest = StandIn(self.settings.netns, plug, vif.bridge)
        guest.configure()
        ip(guest.ns, "route", "add", "default", "via", str(vif.fixed_ips[0].gateway_ip))
        ip(guest.ns, "route", "add", "169.254.169.254", "dev", "eth0")  # as DHCP tells it
        for port in ports:
            guest.listen(port)
        self.guests.append(guest)
        return guest

    def allow(self, guest: StandIn, **rule: Any) -> None:
        port = self.tenant.call("network", "GET", f"/v2.0/ports/{guest.plug.port_id}")["port"]
        body = {"security_group_id": port["security_groups"][0], "direction": "ingress", **rule}
        self.make("security_group_rule", **body)

    def show(self, path: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.tenant.call("network", "GET", f"/v2.0/{path}")
        return next(iter(answer.values()))

    def close(self) -> None:
        for path, identifier in self._made:
            if path == "security-group-rules":  # of the tenant's default group, which outlives the test
                self.tenant.call("network", "DELETE", f"/v2.0/{path}/{identifier}")
        for guest in self.guests:
            guest.close()
        self.plane.keep_only([], [])
        for guest in self.guests:
            self.plane.unplug(guest.plug.port_id)
        self.plane.teardown()
