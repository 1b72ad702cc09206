"""Security groups of a server's ports in the network service. Source: Networking API v2.0, "Ports"."""

from collections.abc import Callable
from typing import Any

from keystoneauth1.session import Session

from infra.contracts.errors import hopeless
from infra.contracts.network import GroupOnPorts, GroupOnServer, PortsFound
from infra.host.heartbeats import Heartbeat, beating
from infra.host.services.neutron import as_read
from infra.host.services.rest import Service
from infra.openstack import NETWORK

FIELDS = ["id", "fixed_ips", "port_security_enabled", "security_groups"]
Groups = list[str]


class PortGroups:
    """Each method may be repeated. A port that changed since it was read is read again."""

    def __init__(self, session: Session, region: str) -> None:
        self._api = Service(session, NETWORK, "/v2.0", region)

    def find(self, want: GroupOnServer) -> PortsFound:
        """See `activities.security_groups.SecurityGroups.find_ports`."""
        query = {"device_id": want.instance_id, "fields": FIELDS}
        ports = self._api.ask("GET", "/ports", params=query).json()["ports"]
        if not ports:
            words = f"instance_id {want.instance_id} could not be found as device id on any ports"
            raise hopeless(words, code=404)
        if want.add:
            found = [port["id"] for port in ports if _takes(port) and want.group_id not in port["security_groups"]]
        else:
            found = [port["id"] for port in ports if want.group_id in port["security_groups"]]
            if not found:
                words = f"Security group {want.name} not associated with the instance {want.instance_id}"
                raise hopeless(words, code=404)
        return PortsFound(port_ids=found)

    def change(self, want: GroupOnPorts, heartbeat: Heartbeat) -> None:
        """See `activities.security_groups.SecurityGroups.change_groups`."""
        self._each(want, _with if want.add else _without, heartbeat)

    def restore(self, want: GroupOnPorts, heartbeat: Heartbeat) -> None:
        """See `activities.security_groups.SecurityGroups.restore_groups`."""
        self._each(want, _without if want.add else _with, heartbeat)

    def _each(self, want: GroupOnPorts, make: Callable[[Groups, str], Groups], heartbeat: Heartbeat) -> None:
        with beating(heartbeat):
            for port_id in want.port_ids:
                answer = self._api.ask("GET", f"/ports/{port_id}", 200, 404)
                if answer.status_code == 200:
                    self._set(answer.json()["port"], lambda has: make(has, want.group_id))

    def _set(self, port: dict[str, Any], make: Callable[[Groups], Groups]) -> None:
        groups = make(port["security_groups"])
        if groups != port["security_groups"]:
            body = {"port": {"security_groups": groups}}
            self._api.ask("PUT", f"/ports/{port['id']}", 200, 404, json=body, headers=as_read(port))


def _takes(port: dict[str, Any]) -> bool:
    """A port without an address or without port security has no use for groups; Nova passes over it."""
    return bool(port.get("fixed_ips")) and bool(port.get("port_security_enabled", True))


def _with(groups: Groups, group_id: str) -> Groups:
    return groups if group_id in groups else [*groups, group_id]


def _without(groups: Groups, group_id: str) -> Groups:
    return [group for group in groups if group != group_id]
