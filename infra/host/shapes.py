"""vCPUs, memory and disk of a guest that exists, changed while it is off."""

from xml.etree.ElementTree import Element, fromstring, tostring

from infra.contracts.errors import hopeless, host_cannot
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.power import Power
from infra.contracts.power_states import SHUTDOWN
from infra.contracts.resize import ShapeOnHost
from infra.host.driver import Driver
from infra.host.files.disk_tool import DiskTool
from infra.host.files.local_disks import LocalDisks
from infra.host.files.paths import HostPaths, is_test_driver
from infra.host.files.room import room_on_disk
from infra.host.heartbeats import Heartbeat, beating
from infra.host.libvirt.local_disk_xml import change_local_disks
from infra.host.libvirt.machine_xml import METADATA, machine_for, properties_in, shape
from infra.settings import Settings

GIB = 1 << 30
FLAVOR = f"./metadata/{{{METADATA}}}instance/{{{METADATA}}}flavor"


class Shapes:
    """Each method may be repeated, and acts only under the claim's number."""

    def __init__(self, settings: Settings, driver: Driver) -> None:
        self._paths, self._driver = HostPaths(settings), driver
        self._local, self._pretend = LocalDisks(self._paths), is_test_driver(settings)

    def change(self, want: ShapeOnHost, heartbeat: Heartbeat) -> None:
        """See `activities.shape.Shape.reshape`."""
        disk = self._paths.disk(want.instance_id)
        with beating(heartbeat), self._driver.at_work(want):
            domain = self._known(want.instance_id)
            if not self._pretend:
                change_local_disks(domain, want.local_disks, self._paths.as_guest(disk))
            xml = with_shape(domain, want.flavor)
            if not self._pretend and want.flavor.disk and disk.exists():
                with room_on_disk():
                    DiskTool(self._paths.owner_of(want.instance_id)).grow(disk, want.flavor.disk * GIB)
            if not self._pretend:
                self._local.change(want.instance_id, want.local_disks)
            self._driver.definitions.write(xml)
            if self._pretend:
                self._driver.files.keep_domain(want.instance_id, xml, running=False)

    def check(self, want: ShapeOnHost) -> Power:
        """See `activities.shape.Shape.check_shape`."""
        with self._driver.at_work(want):
            if shape_of(self._known(want.instance_id)) != (want.flavor.name, want.flavor.vcpus, want.flavor.ram):
                raise hopeless(f"The guest of instance {want.instance_id} does not have this flavor.", code=409)
            state = self._driver.domains().get(want.instance_id, SHUTDOWN)
        return Power(power_state=state)

    def _known(self, instance_id: str) -> Element:
        xml = self._driver.definitions.read(instance_id)
        if xml is None:
            raise host_cannot("this host has no such server")
        return fromstring(xml)  # noqa: S314 - libvirt wrote it


def with_shape(domain: Element, flavor: FlavorFacts) -> str:
    """The domain with the flavor's vCPUs, memory, name and extra specs. Source: libvirt.org/formatdomain.html."""
    for tag, value in (("memory", str(flavor.ram)), ("currentMemory", str(flavor.ram)), ("vcpu", str(flavor.vcpus))):
        element = domain.find(tag)
        if element is None:
            continue
        element.text = value
        if tag != "vcpu":
            element.set("unit", "MiB")
    if domain.get("type") != "test":
        shape(domain, machine_for(properties_in(domain), flavor))
    name = domain.find(FLAVOR)
    if name is not None:
        name.text = flavor.name
    return tostring(domain, encoding="unicode")


def shape_of(domain: Element) -> tuple[str, int, int]:
    """(flavor's name, vCPUs, MiB); libvirt itself writes memory in KiB."""
    return domain.findtext(FLAVOR, ""), int(domain.findtext("vcpu", "0")), int(domain.findtext("memory", "0")) >> 10
