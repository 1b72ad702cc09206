"""Guests that boot from a rescue disk, with their own disks beside it."""

from infra.contracts.errors import host_cannot
from infra.contracts.image import DiskOnHost, ImageOnHost
from infra.contracts.power import Power, PowerOn
from infra.contracts.power_states import RUNNING
from infra.contracts.rescue import RescueDisk, RescueGuest
from infra.credentials import write_private
from infra.host.driver import Driver
from infra.host.files import configdrive
from infra.host.files.images import ImageStore
from infra.host.files.paths import HostPaths, is_test_driver
from infra.host.files.room import room_on_disk
from infra.host.heartbeats import Heartbeat, beating
from infra.host.libvirt import rescue_xml
from infra.host.libvirt.domain_xml import volume_xml
from infra.host.tidying import Tidier
from infra.settings import Settings


class Rescues:
    """Each method may be repeated, and acts only under the claim's number."""

    def __init__(self, settings: Settings, driver: Driver, images: ImageStore) -> None:
        self._paths, self._driver, self._images = HostPaths(settings), driver, images
        self._tidy = Tidier(settings, driver)
        self._pretend, self._vendor_data = is_test_driver(settings), settings.vendor_data_file

    def fetch(self, want: RescueDisk, heartbeat: Heartbeat) -> DiskOnHost:
        """See `activities.rescue.Rescue.fetch_rescue_disk`. What an earlier rescue left goes first."""
        with self._driver.at_work(want):
            request = self._paths.make_instance(want.instance_id) / "rescue-disk.request"
            if not request.exists() or request.read_text() != want.request_id:
                self._tidy.end_rescue(want.instance_id)
                self._images.remove_beside(want.instance_id)
                with room_on_disk():
                    write_private(request, want.request_id)
        return self._images.fetch_beside(
            ImageOnHost(instance_id=want.instance_id, image_id=want.image_id, disk_gb=0, trusted=want.trusted),
            heartbeat,
        )

    def remove(self, want: RescueDisk) -> None:
        """See `activities.rescue.Rescue.remove_rescue_disk`."""
        with self._driver.at_work(want):
            self._images.remove_beside(want.instance_id)
            (self._paths.instance(want.instance_id) / "rescue-disk.request").unlink(missing_ok=True)

    def boot(self, want: RescueGuest, heartbeat: Heartbeat) -> Power:
        """See `activities.rescue.Rescue.boot_rescue`."""
        with beating(heartbeat), self._driver.at_work(want):
            if self._driver.domains().get(want.instance_id) == RUNNING:
                return Power(power_state=RUNNING)
            self._define(want)
        return self._driver.power.on(PowerOn(instance_id=want.instance_id, attempt=want.attempt), heartbeat)

    def _define(self, want: RescueGuest) -> None:
        id, files = want.instance_id, self._driver.files
        kept = self._paths.instance(id) / "rescue.xml"
        if not kept.exists():
            raise host_cannot("nothing is set aside for the rescue of this server")
        xml = kept.read_text()
        if self._pretend:
            files.keep_domain(id, xml, running=False)
        else:
            disk = self._paths.as_guest(self._paths.rescue_disk(id))
            volumes = {v.device: volume_xml(v) for v in want.spec.volumes} if want.device else {}
            with room_on_disk():
                configdrive.write(want.spec, self._paths.config_drive(id), self._vendor_data)
                self._paths.owner_of(id).writes(self._paths.config_drive(id))
                files.keep_volumes(id, {name: rescue_xml.later(each) for name, each in volumes.items()})
            if want.device:
                xml = rescue_xml.stable(xml, disk, want.device, want.bus, volumes)
            else:
                xml = rescue_xml.unstable(xml, disk)
        self._driver.definitions.write(xml)
