"""Tells the compute service what happened to a volume or a port that a server has, as Cinder and Neutron tell Nova.

Source: Compute API, "Create external events (os-server-external-events)": volume-extended since 2.51, volume-reimaged
since 2.93."""

import time
from dataclasses import dataclass

from keystoneauth1 import adapter
from keystoneauth1 import exceptions as ks_errors

from infra import logs
from infra.openstack import COMPUTE, service_session
from infra.settings import Settings

VERSIONS = {"volume-extended": "2.51", "volume-reimaged": "2.93"}
OLDEST = "2.1"
TRIES, PAUSE_S = 4, 0.5
MANY, AGAIN = 207, frozenset((409, 500, 502, 503, 504))
log = logs.get(__name__)


@dataclass(frozen=True)
class Event:
    """`tag`: the volume or port that it is about."""

    name: str
    server: str
    tag: str


class Compute:
    """The compute service, found in the catalog. What it is not told of it sees when it looks the next time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._own: adapter.Adapter | None = None

    def tell(self, event: str, servers: list[str], tag: str) -> None:
        """Of every server that has the volume. For some seconds, one that is busy is told of again, and a service that
        does not answer is asked again."""
        events = [Event(event, server, tag) for server in servers]
        for attempt in range(TRIES):
            if not events:
                return
            time.sleep(PAUSE_S * 2**attempt if attempt else 0)
            events = self.once(events)

    def once(self, events: list[Event]) -> list[Event]:
        """Told in one request, all of one name: those that are to be told again, of servers that are busy, or because
        the service did not answer. A catalog without a compute service has nobody to be told."""
        try:
            return self._told(events)
        except ks_errors.EndpointNotFound:
            return []
        except ks_errors.ClientException as error:
            name = events[0].name
            log.warning("compute not told", compute_event=name, number=len(events), error=type(error).__name__)
            return events

    def _told(self, events: list[Event]) -> list[Event]:
        name = events[0].name
        answer = self._service().post(
            "/os-server-external-events",
            json={"events": [{"name": e.name, "server_uuid": e.server, "tag": e.tag} for e in events]},
            headers={"OpenStack-API-Version": f"compute {VERSIONS.get(name, OLDEST)}"},
            raise_exc=False,
        )
        log.info("compute told", compute_event=name, tag=events[0].tag, number=len(events), status=answer.status_code)
        if answer.status_code == MANY:
            told = answer.json()["events"]
            return [event for event, each in zip(events, told, strict=True) if each["code"] in AGAIN]
        return events if answer.status_code in AGAIN else []

    def _service(self) -> adapter.Adapter:
        if self._own is None:
            session = service_session(self._settings)
            self._own = adapter.Adapter(
                session, service_type=COMPUTE, interface=["internal", "public"], region_name=self._settings.region
            )
        return self._own
