"""What the network service tells compute's own user, for answers that the caller may have and could not look up."""

from functools import cached_property
from typing import Any

from temporalio.exceptions import ApplicationError

from api.common.errors import ServiceError
from infra.contracts.errors import NeighbourAway
from infra.host.services.rest import Service
from infra.openstack import NETWORK, service_session
from infra.settings import Settings


class OwnNetwork:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @cached_property
    def service(self) -> Service:
        return Service(service_session(self._settings), NETWORK, "/v2.0", self._settings.region)

    def list(self, kind: str, **where: str) -> list[dict[str, Any]]:
        """All of `kind` that fit; 503 when the network service fails or refuses."""
        try:
            found: list[dict[str, Any]] = self.service.ask("GET", f"/{kind}", params=where).json()[kind]
        except (NeighbourAway, ApplicationError, ValueError, KeyError) as error:
            raise ServiceError(503, "The network service is not reachable; try again.") from error
        return found
