"""How another service's answers are sorted: a refusal for good is Hopeless and names the service, an outage passes."""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from keystoneauth1.session import Session
from keystoneauth1.token_endpoint import Token
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOPELESS, NeighbourAway
from infra.contracts.network import PortRequest, PortsOnHost
from infra.contracts.volume import VolumeRequest, VolumesOnHost
from infra.host.network.ports import PortPlugger
from infra.host.services.control import ControlClient
from infra.host.services.volumes import VolumeConnector
from infra.settings import Settings
from tests.host.cloud import new_id

FOR_GOOD, PASSING = (400, 403, 404, 405, 413, 422), (401, 408, 412, 425, 429, 500, 502, 503, 504)


class Neighbour(http.server.ThreadingHTTPServer):
    """Answers every request with `status` and Neutron's error format."""

    status = 503

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def session(self) -> Session:
        return Session(auth=Token(f"http://127.0.0.1:{self.server_address[1]}/v3", "token"), connect_retries=0)


class Answer(http.server.BaseHTTPRequestHandler):
    def answer(self) -> None:
        assert isinstance(self.server, Neighbour)
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.dumps({"NeutronError": {"type": "Whatever", "message": "because of that", "detail": ""}}).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def neighbour() -> Iterator[Neighbour]:
    with Neighbour() as server:
        yield server
        server.shutdown()


def quiet(*_: Any) -> None:
    pass


def calls(settings: Settings, session: Session) -> dict[str, Any]:
    """Everything a host asks of the services, by the name of the one that is asked."""
    port, volume = (
        PortRequest(port_id=new_id(), network_id=new_id()),
        VolumeRequest(volume_id=new_id(), attachment_id="a"),
    )
    about = {"instance_id": new_id(), "project_id": new_id()}
    ports = PortsOnHost(**about, hostname="h", ports=[port])
    tenants = PortsOnHost(**about, hostname="h", ports=[port.model_copy(update={"mine": False})])
    volumes = VolumesOnHost(**about, volumes=[volume])
    made = VolumesOnHost(**about, volumes=[volume.model_copy(update={"create": True})])
    plugger, connector = PortPlugger(settings, session, None), VolumeConnector(settings, session)
    control = ControlClient(settings, session)
    return {
        "network: plug": lambda: plugger.plug(ports, quiet),
        "network: bind": lambda: plugger.plug(tenants, quiet),
        "network: unplug": lambda: plugger.unplug(ports, quiet),
        "network: activate": lambda: plugger._ports.activate(port.port_id),
        "network: bind again": lambda: plugger._ports._take_over(tenants, tenants.ports[0], {"id": new_id()}, {}),
        "block-storage: attach": lambda: connector.attach(volumes, quiet),
        "block-storage: make": lambda: connector.attach(made, quiet),
        "block-storage: detach": lambda: connector.detach(volumes, quiet),
        "block-storage: delete": lambda: connector._volumes.delete(volume.volume_id),
        "compute: claims": control.claims,
    }


@pytest.mark.parametrize("status", FOR_GOOD)
def test_a_refusal_that_no_repeat_betters_is_hopeless(neighbour: Neighbour, host: Settings, status: int) -> None:
    """Mechanism: Service.unexpected. Retried, such a refusal held an undo, and its server, for ever."""
    neighbour.status = status
    for name, call in calls(host, neighbour.session).items():
        if status == 404 and name.rpartition(" ")[2] in ("detach", "delete"):
            call()  # gone is what was wanted
            continue
        if status in (400, 403) and name == "network: activate":
            continue  # Neutron's agents say it
        if status == 400 and name == "block-storage: delete":
            continue  # depends on the volume's state: tests/host/test_volumes.py
        with pytest.raises(ApplicationError) as failure:
            call()
        assert (failure.value.type, failure.value.non_retryable) == (HOPELESS, True), name
        named = name.partition(":")[0] in failure.value.message or "because of that" in failure.value.message
        assert named or "could not be found" in failure.value.message, (name, failure.value.message)


@pytest.mark.parametrize("status", PASSING)
def test_an_outage_passes(neighbour: Neighbour, host: Settings, status: int) -> None:
    """Mechanism: Service.unexpected and PASSING. Sorted as a refusal, an outage of seconds would end builds."""
    neighbour.status = status
    for name, call in calls(host, neighbour.session).items():
        with pytest.raises(NeighbourAway, match=name.partition(":")[0]):
            call()


def test_a_service_that_is_not_there_is_an_outage(neighbour: Neighbour, host: Settings) -> None:
    session = neighbour.session
    neighbour.shutdown()
    neighbour.server_close()
    for name, call in calls(host, session).items():
        with pytest.raises(NeighbourAway, match=f"The {name.partition(':')[0]} service cannot be asked"):
            call()
