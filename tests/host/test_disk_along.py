"""A disk that `spawn` makes along: of a host whose report names the image."""

import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.image import DiskOnHost, ImageOnHost
from tests.host.cloud import Cloud, until
from tests.host.glance import Glance
from tests.host.hypervisor import Hypervisor
from tests.host.steps import run
from tests.host.test_guest import Built, driver, guest, hypervisor

__all__ = ["driver", "guest", "hypervisor"]


def test_a_disk_made_along(guest: Built, hypervisor: Hypervisor, glance: Glance) -> None:
    """Mechanism: Hypervisor.spawn, of a host whose report names the image. One that went meanwhile is fetched anew."""
    guest.store.remove(guest.spec.instance_id)
    lays = ImageOnHost(instance_id=guest.spec.instance_id, image_id=guest.spec.image_id, disk_gb=0)
    assert guest.store.newest()[0] == guest.spec.image_id
    want, spawn = guest.spec.model_copy(update={"lays": lays}), guest.steps.spawn
    disk = run(spawn, want).along["fetch_to_host"]
    assert isinstance(disk, DiskOnHost) and (disk.downloaded_bytes, {*disk.parts}) == (0, {"image", "overlay"})
    assert disk.started_at and disk.finished_at and disk.started_at < disk.finished_at
    until(guest.booted)
    guest.driver.destroy(want.instance_id)
    guest.store.remove(want.instance_id)
    for file in (hypervisor.settings.host_dir / "images").glob(f"{want.image_id}*"):
        file.unlink()
    assert want.image_id not in guest.store.newest()
    again = run(spawn, want).along["fetch_to_host"]
    assert isinstance(again, DiskOnHost) and again.downloaded_bytes == len(glance.images[want.image_id].data)


def test_a_late_one_leaves_no_disk(guest: Built, cloud: Cloud) -> None:
    """Mechanism: Driver._require_claim. The build has moved on, and its undo has been here: nobody would come for the
    disk, and the image below it counted as used. What a later attempt has here by now stays."""
    id = guest.spec.instance_id
    guest.store.remove(id)
    lays = ImageOnHost(instance_id=id, image_id=guest.spec.image_id, disk_gb=0)
    late, spawn = guest.spec.model_copy(update={"lays": lays}), guest.steps.spawn
    for attempt, host, left in ((2, "other", []), (3, guest.driver._host, [id])):
        cloud.claim(id, attempt=attempt, host=host)
        with pytest.raises(ApplicationError, match="no longer holds the claim"):
            run(spawn, late)
        assert guest.driver.domains() == {} and guest.driver.facts().instance_dirs == left


def test_a_late_one_that_fails_before_it_asks_leaves_none_either(guest: Built, cloud: Cloud) -> None:
    """What it laid was the next reconcile's to find. With its claim the undo comes, and all stays for that."""
    id = guest.spec.instance_id
    guest.store.remove(id)
    lays = ImageOnHost(instance_id=id, image_id=guest.spec.image_id, disk_gb=0)
    refused = guest.spec.flavor.model_copy(update={"ram": 1 << 40})
    late = guest.spec.model_copy(update={"lays": lays, "flavor": refused})
    for host, left in ((guest.driver._host, [id]), ("other", [])):
        cloud.claim(id, host=host)
        with pytest.raises(ApplicationError) as failed:
            run(guest.steps.spawn, late)
        assert "no longer holds" not in str(failed.value)
        assert [*guest.driver.domains()] == guest.driver.facts().instance_dirs == left


def test_a_late_one_leaves_the_guest_of_a_later_attempt_alone(guest: Built, cloud: Cloud) -> None:
    """It took the domain for one of a build that was given up, and ended it."""
    id = guest.spec.instance_id
    cloud.claim(id, attempt=3)
    run(guest.steps.spawn, guest.spec.model_copy(update={"attempt": 3}))
    with pytest.raises(ApplicationError, match="no longer holds the claim"):
        run(guest.steps.spawn, guest.spec)
    assert guest.driver.domains() == {id: 1} and guest.driver._domains.attempt(id) == 3
