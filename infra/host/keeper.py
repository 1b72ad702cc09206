"""Keeps a guest as it was while an operation changes it, and brings it back."""

from infra.contracts.aside import Aside
from infra.contracts.errors import host_cannot
from infra.contracts.power import Power, PowerOff, PowerOn
from infra.contracts.power_states import SHUTDOWN
from infra.host.driver import Driver
from infra.host.files.download import Progress
from infra.host.files.kept import KeptFiles
from infra.host.files.left import LeftFiles
from infra.host.files.paths import HostPaths, is_test_driver
from infra.host.heartbeats import Heartbeat, beating
from infra.settings import Settings


class Keeper:
    """Each method may be repeated, and acts only under the claim's number."""

    def __init__(self, settings: Settings, driver: Driver) -> None:
        self._driver, self._kept = driver, KeptFiles(HostPaths(settings))
        self._left = LeftFiles(HostPaths(settings))
        self._pretend = is_test_driver(settings)

    def set_aside(self, want: Aside, heartbeat: Heartbeat) -> Power:
        """See `activities.aside.Kept.set_aside`."""
        if not self._kept.holds(want):
            self._driver.power.off(
                PowerOff(instance_id=want.instance_id, attempt=want.attempt, comes_back=want.runs), heartbeat
            )
            progress = Progress("")
            with beating(heartbeat, progress.details), self._driver.at_work(want):
                xml = self._driver.definitions.read(want.instance_id)
                if xml is None:
                    raise host_cannot("this host has no such server")
                self._kept.keep(want, xml, progress)
        return Power(power_state=SHUTDOWN)

    def bring_back(self, want: Aside, heartbeat: Heartbeat) -> None:
        """See `activities.aside.Kept.bring_back`."""
        with beating(heartbeat), self._driver.at_work(want):
            if self._kept.holds(want):
                xml = self._kept.xml(want)
                self._driver.definitions.stop(want.instance_id)
                self._kept.give_back(want)
                self._driver.definitions.write(xml)
                if self._pretend:
                    self._driver.files.keep_domain(want.instance_id, xml, running=False)
                if want.label == "resize":
                    self._left.note_reverted(want.instance_id, want.request_id)
                self._kept.forget(want)
        if want.runs:
            self._driver.power.on(PowerOn(instance_id=want.instance_id, attempt=want.attempt), heartbeat)

    def forget(self, want: Aside, heartbeat: Heartbeat) -> None:
        """See `activities.aside.Kept.forget_aside`."""
        with beating(heartbeat), self._driver.at_work(want):
            if self._kept.holds(want):
                self._kept.forget(want)
