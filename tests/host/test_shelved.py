"""A real guest leaves its host, and boots again from the image that was made of its disk."""

from infra.contracts.image import ImageOnHost
from infra.contracts.power import PowerOff
from infra.contracts.snapshot import SnapshotOnHost
from infra.host.snapshots import Snapshots
from tests.host.cloud import Cloud, new_id, until
from tests.host.glance import Glance, StoredImage
from tests.host.hypervisor import Hypervisor
from tests.host.test_guest import RUNNING, Built, driver, guest, hypervisor, quiet

__all__ = ["driver", "guest", "hypervisor"]


def test_from_its_image(cloud: Cloud, guest: Built, hypervisor: Hypervisor, glance: Glance) -> None:
    id, image = guest.spec.instance_id, new_id()
    snapshots = Snapshots(hypervisor.settings, cloud.session, guest.driver)
    guest.spawn()
    until(guest.booted)
    guest.driver.power.off(PowerOff(instance_id=id, attempt=1, timeout_s=0), quiet)
    copy = SnapshotOnHost(instance_id=id, attempt=1, image_id=image)
    snapshots.take(copy, quiet)
    glance.images[image] = StoredImage(snapshots._file(copy).read_bytes(), "qcow2")
    guest.driver.destroy(id, 1)
    guest.store.remove(id)
    assert guest.driver.present() == {}
    cloud.claim(id, attempt=2)
    guest.store.fetch(ImageOnHost(instance_id=id, image_id=image, disk_gb=0), quiet)
    guest.spec = guest.spec.model_copy(update={"attempt": 2})
    assert guest.spawn().power_state == RUNNING
    until(guest.booted)
