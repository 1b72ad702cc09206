"""What operations that were ended from outside left of servers here is taken away, and a guest is what its record says.

Acts only on servers that their records say are at rest, under the guest's turn, on what is still there of what was
asked about."""

from collections.abc import Iterator
from contextlib import contextmanager
from xml.etree.ElementTree import fromstring

from infra import logs
from infra.contracts.guarded import Guarded
from infra.contracts.left import REVERTED, Fate, Standing
from infra.contracts.power import PowerOff, PowerOn
from infra.contracts.power_states import PAUSED, RUNNING
from infra.contracts.resize import ShapeOnHost
from infra.host.driver import Driver
from infra.host.files.kept import KeptFiles
from infra.host.files.left import LeftFiles
from infra.host.files.paths import HostPaths, is_test_driver
from infra.host.services.control import ControlClient
from infra.host.shapes import Shapes, shape_of
from infra.host.snapshots import ROOT
from infra.settings import Settings

MENDED = ("active", "stopped")
"""vm_states of servers whose guest may be stopped to become what its record says; of others a person decides."""
log = logs.get(__name__)


class Tidier:
    """Call it now and then. A failure with one server keeps no other waiting."""

    def __init__(self, settings: Settings, driver: Driver, control: ControlClient | None = None) -> None:
        paths = HostPaths(settings)
        self._driver, self._control, self._rescue_disk = driver, control, paths.rescue_disk
        self._left, self._kept, self._shapes = LeftFiles(paths), KeptFiles(paths), Shapes(settings, driver)
        self._pretend = is_test_driver(settings)

    def __call__(self) -> None:
        left = self._left.all()
        for told in self._control.standings(left) if left and self._control else ():
            for name, fate in told.fates.items():
                try:
                    self._settle(told, name, left[told.instance_id][name], fate)
                except Exception as error:
                    log.warning("not tidied up yet", instance_id=told.instance_id, what=name, error=str(error))

    def end_rescue(self, instance_id: str) -> None:
        """The guest is what an earlier rescue kept, or what it has been made since; it may be off then. The caller has
        the guest's turn."""
        if self._boots_rescue(instance_id):
            self._give_back(instance_id, "rescue")
        self._left.drop(instance_id, "rescue")

    def _settle(self, told: Standing, name: str, request_id: str, fate: Fate) -> None:
        with self._still(told, name, request_id) as there:
            if there and fate is Fate.OVER and self._agrees(told, name):
                if name.startswith("snapshot-") and not self._pretend:
                    self._driver.mirrors.give_up(told.instance_id, ROOT)
                self._left.drop(told.instance_id, name)
                log.info("tidied up", instance_id=told.instance_id, what=name)
                return
        if there and told.vm_state in MENDED:
            self._make_true(told, name, request_id)

    def _make_true(self, told: Standing, name: str, request_id: str) -> None:
        """What the guest wrote to its own disk stays; of a failed rebuild the disk that it had comes back."""
        id, attempt = told.instance_id, told.attempt
        ran = self._driver.domains().get(id) in (RUNNING, PAUSED)
        self._driver.power.off(PowerOff(instance_id=id, attempt=attempt), _quiet)
        if not self._unchanged(told, name, request_id):
            self._driver.report_quietly()  # an operation has begun, and was not told that the guest is off
            return
        with self._still(told, name, request_id) as there:
            if there and name in ("rescue", "rebuild"):
                self._give_back(id, name)
                self._left.drop(id, name)
            elif there and name == "resize":
                self._kept.bring_local_back(self._left.aside(id, name))
        if there and not self._has_shape(told):
            self._shapes.change(
                ShapeOnHost(instance_id=id, attempt=attempt, flavor=told.flavor, local_disks=told.local_disks), _quiet
            )
        if there and ran and told.vm_state == "active" and self._unchanged(told):
            self._driver.power.on(PowerOn(instance_id=id, attempt=attempt), _quiet)
        self._driver.report_quietly()
        log.warning("the guest is what its record says again", instance_id=id, what=name)
        with self._still(told, name, request_id) as there:
            if there and self._agrees(told, name):
                self._left.drop(id, name)

    @contextmanager
    def _still(self, told: Standing, name: str, request_id: str) -> Iterator[bool]:
        """The guest's turn, and whether what was asked about is there still."""
        with self._driver.at_work(Guarded(instance_id=told.instance_id, attempt=told.attempt)):
            yield self._left.of(told.instance_id).get(name) == request_id

    def _unchanged(self, told: Standing, name: str = "", request_id: str = "") -> bool:
        """Whether the server is still at rest, in the same state."""
        asked = {told.instance_id: {name: request_id} if name else {}}
        now = self._control.standings(asked) if self._control else []
        return [(each.attempt, each.vm_state) for each in now] == [(told.attempt, told.vm_state)]

    def _agrees(self, told: Standing, name: str) -> bool:
        """Whether the guest can do without what is left."""
        if name == "rescue":
            return not self._boots_rescue(told.instance_id)
        return name not in ("resize", REVERTED) or self._has_shape(told)

    def _has_shape(self, told: Standing) -> bool:
        xml = self._driver.definitions.read(told.instance_id)
        if xml is None:
            return True
        name, *size = shape_of(fromstring(xml))  # noqa: S314 - libvirt wrote it
        return size == [told.flavor.vcpus, told.flavor.ram] and name in ("", told.flavor.name)

    def _boots_rescue(self, instance_id: str) -> bool:
        """Whether its rescue disk is in the guest, or will be when it starts."""
        texts = (self._driver.definitions.read(instance_id), self._driver.definitions.live(instance_id))
        return any(text and f"/{self._rescue_disk(instance_id).name}" in text for text in texts)

    def _give_back(self, instance_id: str, label: str) -> None:
        want = self._left.aside(instance_id, label)
        if not want.request_id:
            return
        xml = self._kept.xml(want)
        self._driver.definitions.stop(instance_id)
        self._kept.give_back(want)
        self._driver.definitions.write(xml)
        if self._pretend:
            self._driver.files.keep_domain(instance_id, xml, running=False)


def _quiet(*_: object) -> None:
    """Nobody waits for a word."""
