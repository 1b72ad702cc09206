"""Ports in the network service: chosen id first, and a real Neutron that refuses ids all the same."""

from typing import Any

from keystoneauth1.session import Session

from infra.contracts.errors import hopeless
from infra.contracts.network import PortRequest, PortsOnHost
from infra.host.services.fence import Fence
from infra.host.services.rest import Service, words
from infra.openstack import NETWORK
from infra.settings import Settings

Body = dict[str, Any]
MARK = "kilonova:server"
"""In the binding profile of a tenant's port that we bound: the server's id."""


class Ports:
    """Makes, finds, binds and removes ports. Each method may be repeated; Hopeless carries Neutron's or Nova's words.

    The embedded service takes the chosen id, so that a repeated create finds its port by it. Neutron takes none:
    there the chosen id becomes the port's name, and a port is found by device and name."""

    def __init__(self, settings: Settings, session: Session, fence: Fence, fenced: bool) -> None:
        self._api = Service(session, NETWORK, "/v2.0", settings.region)
        self._host, self._fence, self._fenced = settings.host, fence, fenced
        self._ids_accepted = True

    def network(self, network_id: str) -> Body:
        """The network and its subnets, as {"network": …, "subnets": {subnet id: …}}."""
        answer = self._api.request("GET", f"/networks/{network_id}")
        if answer.status_code == 404:
            raise hopeless(f"Network {network_id} could not be found.", code=404)
        if answer.status_code != 200:
            raise self._api.unexpected(answer)
        subnets = self._api.ask("GET", "/subnets", params={"network_id": network_id}).json()["subnets"]
        return {"network": answer.json()["network"], "subnets": {subnet["id"]: subnet for subnet in subnets}}

    def ensure_own(self, want: PortsOnHost, request: PortRequest) -> Body:
        """The instance's port, made now or earlier, bound to this host."""
        body: Body = {
            "network_id": request.network_id,
            "project_id": want.project_id,
            "device_id": want.instance_id,
            **self._binding(want),
        }
        if address := request.fixed_ip or request.preferred_ip:
            body["fixed_ips"] = [{"ip_address": address}]
        if want.security_groups:
            body["security_groups"] = want.security_groups
        port = self._create(body, request, want)
        if port["device_id"] != want.instance_id:
            raise hopeless(f"Port {request.port_id} is still in use.", code=409)
        return port if port.get("binding:host_id") == self._host else self._take_over(want, request, port, {})

    def ensure_bound(self, want: PortsOnHost, request: PortRequest) -> Body:
        """The tenant's own port, bound to this instance and host; Hopeless when it is not the tenant's or in use."""
        port = self._of_tenant(want, request)
        if port["device_id"] == want.instance_id and port.get("binding:host_id") == self._host:
            return port
        return self._take_over(want, request, port, self._mine(want, port))

    def ensure_held(self, want: PortsOnHost, request: PortRequest) -> Body | None:
        """A port that the server has, bound to this host; None when it was deleted behind the server's back, or is
        another's by now."""
        port = self.get(request.port_id)
        if port is None or port["device_id"] not in ("", want.instance_id):
            return None
        if port["device_id"] == want.instance_id and port.get("binding:host_id") == self._host:
            return port
        changes = {"device_id": want.instance_id} if request.mine else self._mine(want, port)
        return self._take_over(want, request, port, changes)

    def reserve(self, want: PortsOnHost, request: PortRequest) -> None:
        """The tenant's own port is this instance's from now on, on no host yet. Hopeless as `ensure_bound`: of two that
        read it free, the revision lets one through, and the other finds it in use when it tries again."""
        port = self._of_tenant(want, request)
        if port["device_id"] != want.instance_id:
            owner = {"device_owner": f"compute:{want.availability_zone}"}
            body = {"port": {**self._mine(want, port), **owner}}
            self._api.ask("PUT", f"/ports/{port['id']}", json=body, headers=as_read(port))

    def _mine(self, want: PortsOnHost, port: Body) -> Body:
        marked = {**(port.get("binding:profile") or {}), MARK: want.instance_id}
        return {"device_id": want.instance_id, "binding:profile": marked}

    def _of_tenant(self, want: PortsOnHost, request: PortRequest) -> Body:
        port = self.get(request.port_id)
        if port is None:
            raise hopeless(f"Port {request.port_id} could not be found.", code=404)
        if port["project_id"] != want.project_id:
            raise hopeless(f"Port {request.port_id} not usable for instance {want.instance_id}.", code=400)
        if port["device_id"] not in ("", want.instance_id):
            raise hopeless(f"Port {request.port_id} is still in use.", code=409)
        return port

    def activate(self, port_id: str) -> None:
        """Tell the network service that the port is plugged. Neutron learns it from its own agents and refuses."""
        answer = self._api.request("PUT", f"/ports/{port_id}", json={"port": {"status": "ACTIVE"}})
        if answer.status_code not in (200, 400, 403):
            raise self._api.unexpected(answer)

    def release(self, want: PortsOnHost, request: PortRequest) -> str | None:
        """Delete our port, unbind the tenant's; its id in the network service, None when it is absent.

        Only while it belongs to this instance, and (`fenced`) to this host, or the claim is: the build may have moved
        with its port. Fails, to be tried again, when the port changed since it was looked at."""
        port = self.find(want, request)
        if port is None:
            return None
        elsewhere = self._fenced and port.get("binding:host_id") not in ("", None, self._host)
        if port["device_id"] != want.instance_id or (elsewhere and not self._fence.rules(want)):
            return str(port["id"])
        if request.mine:
            self._api.ask("DELETE", f"/ports/{port['id']}", 204, 404, headers=as_read(port))
        else:
            unbound: Body = {"device_id": "", "device_owner": "", "binding:host_id": ""}
            unbound["binding:profile"] = {k: v for k, v in (port.get("binding:profile") or {}).items() if k != MARK}
            self._api.ask("PUT", f"/ports/{port['id']}", 200, 404, json={"port": unbound}, headers=as_read(port))
        return str(port["id"])

    def part(self, want: PortsOnHost, request: PortRequest) -> None:
        """On no host any more, still the instance's. Only while it is, and while this host has it."""
        port = self.find(want, request)
        if port is None or port["device_id"] != want.instance_id:
            return
        if port.get("binding:host_id") == self._host:
            body = {"port": {"binding:host_id": ""}}
            self._api.ask("PUT", f"/ports/{port['id']}", 200, 404, json=body, headers=as_read(port))

    def get(self, port_id: str) -> Body | None:
        answer = self._api.ask("GET", f"/ports/{port_id}", 200, 404)
        return answer.json()["port"] if answer.status_code == 200 else None

    def find(self, want: PortsOnHost, request: PortRequest) -> Body | None:
        """The port under its chosen id, else under that id as its name."""
        if port := self.get(request.port_id):
            return port
        return self._named(want, request) if request.mine else None

    def _named(self, want: PortsOnHost, request: PortRequest) -> Body | None:
        query = {"device_id": want.instance_id, "name": request.port_id}
        found: list[Body] = self._api.ask("GET", "/ports", params=query).json()["ports"]
        return found[0] if found else None

    def _create(self, body: Body, request: PortRequest, want: PortsOnHost) -> Body:
        """POST it; a port that exists already under the chosen id or name is taken as it is."""
        if self._ids_accepted:
            answer = self._api.request("POST", "/ports", json={"port": {"id": request.port_id, **body}})
            if answer.status_code == 400 and "'id'" in words(answer)[1]:
                self._ids_accepted = False
        if not self._ids_accepted:
            if port := self._named(want, request):
                return port
            answer = self._api.request("POST", "/ports", json={"port": {"name": request.port_id, **body}})
        if answer.status_code == 201:
            return dict(answer.json()["port"])
        if answer.status_code == 409 and (existing := self.find(want, request)):
            return existing
        if "fixed_ips" in body and not request.fixed_ip and answer.status_code in (400, 409):
            free = {name: value for name, value in body.items() if name != "fixed_ips"}
            return self._create(free, request, want)  # the address was only preferred
        raise self._refusal(answer, request)

    def _refusal(self, answer: Any, request: PortRequest) -> Exception:
        kind, message = words(answer)
        if kind in ("IpAddressGenerationFailure", "NoMoreFixedIps"):
            return hopeless(f"No fixed IP addresses available for network: {request.network_id}", code=400)
        if kind == "NetworkNotFound":
            return hopeless(f"Network {request.network_id} could not be found.", code=404)
        if answer.status_code in (400, 404, 409, 413):
            return hopeless(message or "The network service refused the port.", code=answer.status_code)
        return self._api.unexpected(answer)

    def _take_over(self, want: PortsOnHost, request: PortRequest, port: Body, changes: Body) -> Body:
        """Bind it to this host, if the claim, asked for after the port was read, is still ours.

        Should the build move after that answer, its next host has changed the port before us, and the revision makes
        this fail (and be tried again), or changes it after us."""
        self._fence.require(want)
        body = {"port": {**changes, **self._binding(want)}}
        answer = self._api.request("PUT", f"/ports/{port['id']}", json=body, headers=as_read(port))
        if answer.status_code == 404:
            if request.mine:
                raise self._api.passing(answer)  # ours is made anew
            raise hopeless(f"Port {port['id']} could not be found.", code=404)
        if answer.status_code != 200:
            raise self._api.unexpected(answer)
        return dict(answer.json()["port"])

    def _binding(self, want: PortsOnHost) -> Body:
        return {"device_owner": f"compute:{want.availability_zone}", "binding:host_id": self._host}


def as_read(port: Body) -> dict[str, str]:
    """Headers that make a change fail (412) when the port is not what was read. Source: extension revision-if-match."""
    revision = port.get("revision_number")
    return {"If-Match": f"revision_number={revision}"} if revision is not None else {}
