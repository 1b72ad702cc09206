"""Takes guests away from this host, and in from others."""

from infra.contracts.network import Plugged
from infra.contracts.power import Power, PowerOff, PowerOn
from infra.contracts.resize import Arriving, Leaving
from infra.contracts.volume import Attached
from infra.host.driver import Driver
from infra.host.heartbeats import Heartbeat
from infra.host.network.ports import PortPlugger
from infra.host.services.volumes import VolumeConnector


class Mover:
    """Each method may be repeated, and acts only under the claim's number."""

    def __init__(self, driver: Driver, ports: PortPlugger, volumes: VolumeConnector) -> None:
        self._driver, self._ports, self._volumes = driver, ports, volumes

    def leave(self, want: Leaving, heartbeat: Heartbeat) -> Power:
        """See `activities.moving.Moving.leave_host`."""
        off = PowerOff(instance_id=want.instance_id, attempt=want.attempt, comes_back=want.runs)
        return self._driver.power.off(off, heartbeat)

    def come_back(self, want: Leaving, heartbeat: Heartbeat) -> Power:
        """See `activities.moving.Moving.come_back`."""
        plugged = self._ports.plug(want.ports, heartbeat) if want.ports.ports else Plugged()
        attached = self._volumes.attach(want.volumes, heartbeat) if want.volumes.volumes else Attached()
        spec = want.spec.model_copy(update={"vifs": plugged.vifs, "volumes": attached.volumes})
        again = PowerOn(instance_id=want.instance_id, attempt=want.attempt, spec=spec)
        return self._driver.power.on_as(again, heartbeat) if want.runs else self._driver.power.defined(again, heartbeat)

    def arrive(self, want: Arriving, heartbeat: Heartbeat) -> Power:
        """See `activities.moving.Moving.arrive`."""
        if want.runs:
            return Power(power_state=self._driver.spawn(want, heartbeat).power_state)
        made = PowerOn(instance_id=want.instance_id, attempt=want.attempt, spec=want)
        return self._driver.power.defined(made, heartbeat)
