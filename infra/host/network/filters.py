"""Security group filters of this host's ports, polled from the network service and handed to the host's firewall."""

import time
from typing import TYPE_CHECKING, Any

from keystoneauth1.session import Session

from infra.host.network import neutron_filters
from infra.host.services.rest import Service
from infra.openstack import NETWORK
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.hostnet.plane import DataPlane


NEUTRON_EVERY_S = 5.0
"""How often Neutron is asked, which has no cheap answer for "nothing has changed"."""


class FilterPoll:
    """Call it every few seconds: an answer that has not changed costs the network service one look at a number.

    A network service that does not know the question (a real Neutron) is asked for ports, groups and rules instead: at
    once when this host's ports are others than before, else every NEUTRON_EVERY_S."""

    def __init__(self, settings: Settings, session: Session, hostnet: "DataPlane") -> None:
        self._api = Service(session, NETWORK, "/v2.0", settings.region)
        self._host, self._ports = settings.host, settings.host_dir / "ports"
        self._hostnet = hostnet
        self._etag = ""
        self._embedded = True
        self._plugged: set[str] = set()
        self._asked = 0.0

    def __call__(self) -> bool:
        """Whether the rules in the kernel changed."""
        plugged = {file.name for file in self._ports.glob("*.json")}
        if not plugged:
            return False
        return (self._embedded and self._by_revision()) or (not self._embedded and self._by_neutron(plugged))

    def _by_revision(self) -> bool:
        query = {"host": self._host}
        known = {"If-None-Match": self._etag} if self._etag else {}
        answer = self._api.ask("GET", "/kilonova/filters", 200, 304, 404, params=query, headers=known)
        self._embedded = answer.status_code != 404
        if answer.status_code != 200:
            return False
        self._etag = ""  # until they are in force
        changed = self._apply(answer.json()["ports"])
        self._etag = answer.headers.get("ETag", "")
        return changed

    def _by_neutron(self, plugged: set[str]) -> bool:
        if plugged == self._plugged and time.monotonic() - self._asked < NEUTRON_EVERY_S:
            return False
        changed = self._apply(neutron_filters.of_host(self._api, self._host))
        self._plugged, self._asked = plugged, time.monotonic()
        return changed

    def _apply(self, ports: list[dict[str, Any]]) -> bool:
        from infra.hostnet.models import PortFilter

        return self._hostnet.apply_groups([PortFilter.model_validate(port) for port in ports], {})
