"""What a host says of its ports, in the order in which it happened."""

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

from infra.host.network.ports import PortPlugger
from infra.host.network.states import PortStates
from infra.hostnet.network import HostNetwork
from infra.settings import Settings
from tests.host.cloud import Cloud
from tests.host.test_ports import Net, net, networked, quiet  # noqa: F401 - fixtures


class Slow:
    """A data plane whose report is made, and then kept back for a while."""

    def __init__(self, network: HostNetwork) -> None:
        self._network, self.made, self.go = network, threading.Event(), threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._network, name)

    def report(self) -> Any:
        found = self._network.report()
        self.made.set()
        self.go.wait(20)
        return found


def test_a_port_is_active_once_its_guest_has_it(
    cloud: Cloud,
    net: Net,  # noqa: F811
    networked: tuple[Settings, HostNetwork],  # noqa: F811
) -> None:
    """Mechanism: PortStates' turn. A report that saw no tap yet does not come after the word that the guest runs."""
    settings, network = networked
    plane = Slow(network)
    states = PortStates(settings, cloud.session, plane)  # type: ignore[arg-type]  # it passes everything else on
    want = net.want()
    plugger = PortPlugger(settings, cloud.session, network)
    vif = plugger.plug(want, quiet).vifs[0]
    assert net.port(vif.port_id)["status"] == "DOWN", "nothing carries its frames yet"
    with ThreadPoolExecutor(2) as both:
        reporting = both.submit(states.report)
        plane.made.wait(20)
        telling = both.submit(states.carried, want.instance_id)
        assert not wait({telling}, 0.2).done
        plane.go.set()
        reporting.result(20)
        telling.result(20)
    assert net.port(vif.port_id)["status"] == "ACTIVE"
    plugger.unplug(want, quiet)
    states.carried(want.instance_id)  # of a server without ports there is nothing to tell
