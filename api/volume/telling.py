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
log = logs.get(__name__)


class Compute:
    """The compute service, found in the catalog. An event that is lost is no harm: the host looks at sizes itself."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own: adapter.Adapter | None = None

    def tell(self, event: str, servers: list[str], volume_id: str) -> bool:
        """Whether the compute service took the event for every server."""
        if not servers:
            return True
        body = {"events": [{"name": event, "server_uuid": server, "tag": volume_id} for server in servers]}
        for attempt in range(TRIES):
            if attempt:
                time.sleep(PAUSE_S * 2**attempt)
            try:
                answer = self._service().post(
                    "/os-server-external-events",
                    json=body,
                    headers={"OpenStack-API-Version": f"compute {VERSIONS[event]}"},
                    raise_exc=False,
                )
            except ks_errors.EndpointNotFound:
                return False
            except ks_errors.ClientException as error:
                log.warning("compute not told", compute_event=event, volume_id=volume_id, error=type(error).__name__)
                continue
            if answer.status_code < 500 or answer.status_code == 501:
                log.info("compute told", compute_event=event, volume_id=volume_id, status=answer.status_code)
                return answer.status_code == 200
        return False

    def _service(self) -> adapter.Adapter:
        if self._own is None:
            session = service_session(self._settings)
            self._own = adapter.Adapter(
                session, service_type=COMPUTE, interface=["internal", "public"], region_name=self._settings.region
            )
        return self._own
