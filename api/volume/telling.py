"""Tells the compute service what happened to a volume that a server has, as Cinder tells Nova.

Source: Compute API, "Create external events (os-server-external-events)": volume-extended since 2.51, volume-reimaged
since 2.93."""

import time

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as ks_errors

from infra import logs
from infra.openstack import COMPUTE, service_session
from infra.settings import Settings

VERSIONS = {"volume-extended": "2.51", "volume-reimaged": "2.93"}
TRIES, PAUSE_S = 4, 0.5
MANY, AGAIN = 207, frozenset((409, 500, 502, 503, 504))
log = logs.get(__name__)


class Compute:
    """The compute service, found in the catalog. A guest of which it is not told sees the size when it starts again."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own: adapter.Adapter | None = None

    def tell(self, event: str, servers: list[str], volume_id: str) -> None:
        """Of every server that has the volume. For some seconds, one that is busy is told of again, and a service that
        does not answer is asked again."""
        for attempt in range(TRIES):
            if not servers:
                return
            time.sleep(PAUSE_S * 2**attempt if attempt else 0)
            try:
                servers = self._tell(event, servers, volume_id)
            except ks_errors.EndpointNotFound:
                return
            except ks_errors.ClientException as error:
                log.warning("compute not told", compute_event=event, volume_id=volume_id, error=type(error).__name__)

    def _tell(self, event: str, servers: list[str], volume_id: str) -> list[str]:
        """Those that are to be told again."""
        answer = self._service().post(
            "/os-server-external-events",
            json={"events": [{"name": event, "server_uuid": server, "tag": volume_id} for server in servers]},
            headers={"OpenStack-API-Version": f"compute {VERSIONS[event]}"},
            raise_exc=False,
        )
        log.info("compute told", compute_event=event, volume_id=volume_id, status=answer.status_code)
        if answer.status_code == MANY:
            return [each["server_uuid"] for each in answer.json()["events"] if each["code"] in AGAIN]
        return servers if answer.status_code in AGAIN else []

    def _service(self) -> adapter.Adapter:
        if self._own is None:
            session = service_session(self._settings)
            self._own = adapter.Adapter(
                session, service_type=COMPUTE, interface=["internal", "public"], region_name=self._settings.region
            )
        return self._own
