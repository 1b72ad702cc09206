"""Security group filters of this host's ports, polled from the network service and handed to the host's firewall."""

from typing import TYPE_CHECKING

from keystoneauth1.session import Session

from infra.hypervisor.rest import Service
from infra.openstack import NETWORK
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.hostnet.network import HostNetwork


class FilterPoll:
    """Call it every few seconds: an answer that has not changed costs the network service one look at a number.

    A network service that does not know the question (a real Neutron, whose own agents filter) is not asked again."""

    def __init__(self, settings: Settings, session: Session, hostnet: "HostNetwork") -> None:
        self._api = Service(session, NETWORK, "/v2.0", settings.region)
        self._host, self._ports = settings.host, settings.host_dir / "ports"
        self._hostnet = hostnet
        self._etag = ""
        self._supported = True

    def __call__(self) -> bool:
        """Whether the rules in the kernel changed."""
        if not self._supported or not any(self._ports.glob("*.json")):
            return False
        from infra.hostnet.models import PortFilter

        query = {"host": self._host}
        known = {"If-None-Match": self._etag} if self._etag else {}
        answer = self._api.ask("GET", "/kilonova/filters", 200, 304, 404, params=query, headers=known)
        self._supported = answer.status_code != 404
        if answer.status_code != 200:
            return False
        self._etag = ""  # until they are in force
        changed = self._hostnet.apply_filters([PortFilter.model_validate(port) for port in answer.json()["ports"]])
        self._etag = answer.headers.get("ETag", "")
        return changed
