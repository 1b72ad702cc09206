"""Security group filters of this host's ports from a Neutron that has its own agents for all the rest."""

import time
from typing import TYPE_CHECKING

from infra.host.network import neutron_filters
from infra.host.services.rest import Service
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.hostnet.plane import DataPlane


NEUTRON_EVERY_S = 5.0
"""How often Neutron is asked, which has no cheap answer for "nothing has changed"."""


class FilterPoll:
    """Asks for ports, groups and rules: at once when this host's ports are others than before, else every
    NEUTRON_EVERY_S."""

    def __init__(self, settings: Settings, api: Service, plane: "DataPlane") -> None:
        self._api, self._plane = api, plane
        self._host, self._ports = settings.host, settings.host_dir / "ports"
        self._plugged: set[str] = set()
        self._asked = 0.0

    def __call__(self) -> bool:
        """Whether the rules in the kernel changed."""
        from infra.hostnet.models import PortFilter

        plugged = {file.name for file in self._ports.glob("*.json")}
        if not plugged or (plugged == self._plugged and time.monotonic() - self._asked < NEUTRON_EVERY_S):
            return False
        ports = [PortFilter.model_validate(port) for port in neutron_filters.of_host(self._api, self._host)]
        changed = self._plane.apply_groups(ports, {})
        self._plugged, self._asked = plugged, time.monotonic()
        return changed
