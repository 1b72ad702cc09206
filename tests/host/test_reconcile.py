"""What a host undoes by itself: only what the records positively say is not its own."""

import logging
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from infra.contracts.image import ImageOnHost
from infra.host.driver import Driver
from infra.host.files.images import ImageStore
from infra.host.reconcile import Stopped, reconcile
from infra.host.services.cloud_id import ForeignCloud
from infra.host.services.control import ControlClient
from infra.openstack import service_session
from infra.settings import Settings
from infra.tables.compute import Instance, now
from tests.host.cloud import Cloud, new_id
from tests.host.specs import spec
from workers.host_loops import AFTERMATH_S, RECOUNT_S, Heartbeat

RUNNING = 1


def quiet(*_: Any) -> None:
    pass


@pytest.fixture
def driver(cloud: Cloud, host: Settings) -> Iterator[Driver]:
    driver = Driver(host, cloud.control)
    yield driver
    for instance_id in driver.domains():
        driver.destroy(instance_id)


def guest(cloud: Cloud, driver: Driver, attempt: int = 1) -> str:
    """A running guest of a claim that this host had when it was made."""
    instance_id = cloud.claim(new_id(), attempt=attempt)
    driver.spawn(spec(instance_id, attempt=attempt), quiet)
    cloud.unclaim(instance_id)
    return instance_id


def record(cloud: Cloud, instance_id: str, **values: Any) -> str:
    with cloud.compute.write() as session:
        session.add(Instance(id=instance_id, project_id="p", user_id="u", name="vm", **{"claims": 1, **values}))
    return instance_id


def test_only_what_is_positively_gone_is_undone(cloud: Cloud, driver: Driver, host: Settings) -> None:
    """Mechanism: `verdict`. Whatever the control plane did not know was destroyed, a whole fleet after a restore."""
    store = ImageStore(host, cloud.session)
    claimed, moved, deleted, released, unknown, lost_claim = (guest(cloud, driver) for _ in range(6))
    newer = guest(cloud, driver, attempt=3)
    cloud.claim(claimed)
    cloud.claim(moved, attempt=2, host="other")
    record(cloud, deleted, vm_state="deleted", deleted_at=now(), launched_at=now())
    record(cloud, released, vm_state="error")
    record(cloud, newer, vm_state="error", claims=2)  # a backup from before its third claim
    record(cloud, lost_claim, vm_state="active", launched_at=now())  # no build gave that claim back
    no_guest, no_guest_unknown = record(cloud, new_id(), vm_state="deleted", deleted_at=now()), new_id()
    for instance_id in (no_guest, no_guest_unknown, claimed):
        store.fetch(ImageOnHost(instance_id=instance_id, image_id=new_id(), disk_gb=0), quiet)
    result = reconcile(driver, cloud.control)
    assert result.undone == sorted([moved, deleted, released, no_guest]) and result.failed == []
    assert result.unknown == sorted([unknown, newer, lost_claim, no_guest_unknown])
    assert set(driver.domains().values()) == {RUNNING}
    assert {claimed, unknown, newer, lost_claim} <= driver.domains().keys()
    assert {moved, deleted, released}.isdisjoint(driver.domains())
    left = {entry.name for entry in (host.host_dir / "instances").iterdir()}
    assert {claimed, no_guest_unknown} <= left and no_guest not in left
    assert reconcile(driver, cloud.control).undone == []


def test_a_guest_that_is_claimed_at_the_second_look_stays(
    cloud: Cloud, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: the second look of `reconcile`."""
    back = guest(cloud, driver)
    record(cloud, back, vm_state="building")

    class Later(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            cloud.claim(back)
            return False

    assert reconcile(driver, cloud.control, Later()).undone == []
    assert driver.domains() == {back: RUNNING}


def test_another_clouds_control_plane_is_refused(
    cloud: Cloud, driver: Driver, host: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    """Mechanism: CloudId. With a wrong database URL every guest of the host is unknown, or worse, known otherwise."""
    control = ControlClient(host, cloud.session)
    assert control.verdicts({}) == {}
    ours = (host.host_dir / "cloud-id").read_text().strip()
    assert len(ours) == 36
    gone = record(cloud, guest(cloud, driver), vm_state="deleted", deleted_at=now())
    (host.host_dir / "cloud-id").write_text(new_id())
    control = ControlClient(host, cloud.session)
    with pytest.raises(ForeignCloud, match=f"the control plane that answers is cloud {ours}"):
        control.verdicts({gone: 1})
    heartbeat = Heartbeat(host, driver, control, list, threading.Event())
    with pytest.raises(ForeignCloud):
        heartbeat()
    with pytest.raises(ForeignCloud, match=f"this is cloud {ours}"):
        control.heartbeat({"vcpus": 1, "memory_mb": 1, "disk_gb": 1})
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    with caplog.at_level(logging.WARNING), pytest.raises(Stopped):
        reconcile(driver, control, stop)
    assert driver.domains() == {gone: RUNNING}
    (host.host_dir / "cloud-id").unlink()  # handed over
    assert reconcile(driver, ControlClient(host, cloud.session)).undone == [gone]


def test_what_a_delete_left_to_a_host_that_was_taken_for_dead_goes(
    cloud: Cloud, driver: Driver, host: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: Heartbeat._look, in the aftermath of a start and once a minute. The look before the worker's first
    report came before such a delete ended, and no other look followed: domain and disk stayed for ever."""
    heartbeat = Heartbeat(host, driver, ControlClient(host, cloud.session), list, threading.Event())
    for wait_s in (0.0, AFTERMATH_S + RECOUNT_S + 1):
        at = time.monotonic() + wait_s
        monkeypatch.setattr("workers.host_loops.time.monotonic", lambda at=at: at)
        left = guest(cloud, driver)
        record(cloud, left, vm_state="deleted", deleted_at=now())
        heartbeat._last = at
        heartbeat()
        assert driver.domains() == {}


def test_unknown_guests_are_named_and_counted(cloud: Cloud, driver: Driver, host: Settings) -> None:
    """Mechanism: Heartbeat._look: heartbeat facts and the metric's number."""
    stray = guest(cloud, driver)
    counted: list[int] = []
    control = ControlClient(host, cloud.session)
    sent: list[dict[str, Any]] = []
    beat = control.heartbeat
    control.heartbeat = lambda facts: sent.append(facts) or beat(facts)  # type: ignore[method-assign,func-returns-value]
    heartbeat = Heartbeat(host, driver, control, list, threading.Event(), counted.append)
    heartbeat()
    heartbeat()
    assert counted[-1] == 1
    assert [facts["facts"]["unknown"] for facts in sent] == [[stray], [stray]]
    assert driver.domains() == {stray: RUNNING}


def test_nothing_is_touched_while_control_is_away(cloud: Cloud, driver: Driver, host: Settings) -> None:
    instance_id = record(cloud, guest(cloud, driver), vm_state="deleted", deleted_at=now())
    away = host.model_copy(update={"auth_url": "http://127.0.0.1:9/v3"})
    control = ControlClient(away, service_session(away))
    stop = threading.Event()
    threading.Timer(1.0, stop.set).start()
    with pytest.raises(Stopped):
        reconcile(driver, control, stop)
    assert driver.domains() == {instance_id: RUNNING}
