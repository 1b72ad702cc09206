"""The driver on libvirt's test driver: every operation twice, on nothing, without the claim; what others made."""

import itertools
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree.ElementTree import fromstring

import libvirt
import pytest
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOPELESS, HOST_CANNOT
from infra.contracts.guarded import Guarded
from infra.contracts.hypervisor import NicOnGuest
from infra.contracts.power import PowerOff
from infra.host.driver import Driver
from infra.host.guest_steps import pauses
from infra.host.libvirt import faults
from infra.host.libvirt.connection import Connection
from infra.settings import Settings
from tests.host.cloud import HOST, Cloud, new_id, until
from tests.host.specs import spec, vif

RUNNING, SHUTDOWN = 1, 4


def quiet(*_: Any) -> None:
    pass


@pytest.fixture
def driver(cloud: Cloud, host: Settings) -> Iterator[Driver]:
    driver = Driver(host, cloud.control)
    yield driver
    for instance_id in driver.domains():
        driver.destroy(instance_id)


@pytest.fixture
def libvirtd() -> Any:
    return libvirt.open("test:///default")


def test_spawn_and_destroy_twice(cloud: Cloud, driver: Driver, host: Settings) -> None:
    wanted = spec(cloud.claim(new_id()), vifs=[vif()])
    for _ in range(2):
        done = driver.spawn(wanted, quiet)
        assert (done.power_state, done.virt_type) == (RUNNING, "test")
        assert driver.domains() == {wanted.instance_id: RUNNING}
    for _ in range(2):
        driver.destroy(wanted.instance_id)
        assert driver.domains() == {}
    driver.destroy(new_id())
    assert list((host.host_dir / "instances").iterdir()) == []


def test_a_suspended_guest_is_destroyed_with_its_memory(cloud: Cloud, driver: Driver) -> None:
    """Mechanism: UNDEFINE_PRETENDED. The test driver refused, and the domain outlived its server."""
    wanted = spec(cloud.claim(new_id()))
    driver.spawn(wanted, quiet)
    assert (
        driver.power.suspend(Guarded(instance_id=wanted.instance_id, attempt=wanted.attempt), quiet).power_state
        == SHUTDOWN
    )
    driver.destroy(wanted.instance_id)
    assert driver.domains() == {}


def test_spawn_is_quick(cloud: Cloud, driver: Driver) -> None:
    driver.domains()
    took = []
    for _ in range(20):
        wanted = spec(cloud.claim(new_id()))
        begun = time.perf_counter()
        driver.spawn(wanted, quiet)
        took.append(time.perf_counter() - begun)
    print(f"spawn p50 {sorted(took)[10] * 1000:.1f} ms, best {min(took) * 1000:.1f} ms")
    assert min(took) < 0.05


def test_a_spawn_asks_libvirt_thrice(cloud: Cloud, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Is it there, define it, start it: the start's answer tells that it runs. Each question is a change of threads."""
    asked: list[Any] = []
    call = Connection.call

    def counted(self: Connection, work: Any, *args: Any) -> Any:
        asked.append(work)
        return call(self, work, *args)

    wanted = spec(cloud.claim(new_id()))
    monkeypatch.setattr(Connection, "call", counted)
    assert driver.spawn(wanted, quiet).power_state == RUNNING
    assert len(asked) == 3


def test_no_guest_without_the_claim(cloud: Cloud, driver: Driver) -> None:
    nobody, elsewhere, older = new_id(), cloud.claim(new_id(), host="other"), cloud.claim(new_id(), attempt=2)
    for instance_id, attempt in ((nobody, 1), (elsewhere, 1), (older, 1), (nobody, 0), (older, 0), (older, -2)):
        with pytest.raises(ApplicationError) as failure:
            driver.spawn(spec(instance_id, attempt=attempt), quiet)
        assert failure.value.type == HOST_CANNOT and "claim" in failure.value.message
    assert driver.domains() == {}


def test_a_slow_start_asks_for_the_claim_again(cloud: Cloud, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = spec(cloud.claim(new_id()))
    monkeypatch.setattr("infra.host.driver.CLAIM_AGE_S", 0.0)
    start = driver._domains.start

    def slow(instance_id: str, **how: Any) -> None:
        start(instance_id, **how)
        cloud.claim(instance_id, attempt=2, host="other")  # the host was given up meanwhile

    monkeypatch.setattr(driver._domains, "start", slow)
    with pytest.raises(ApplicationError) as failure:
        driver.spawn(wanted, quiet)
    assert failure.value.type == HOST_CANNOT and driver.domains() == {}


def test_a_domain_of_an_earlier_attempt_is_made_anew(cloud: Cloud, driver: Driver, libvirtd: Any) -> None:
    instance_id = cloud.claim(new_id(), attempt=1)
    driver.spawn(spec(instance_id, attempt=1), quiet)
    first = libvirtd.lookupByUUIDString(instance_id).ID()
    cloud.claim(instance_id, attempt=4)
    driver.spawn(spec(instance_id, attempt=4), quiet)
    assert libvirtd.lookupByUUIDString(instance_id).ID() != first
    assert driver._domains.attempt(instance_id) == 4
    driver.destroy(instance_id, attempt=1)
    assert driver.domains() == {instance_id: 1}, "an old undo took the later attempt's guest"
    driver.destroy(instance_id, attempt=4)
    assert driver.domains() == {}


def test_other_peoples_domains_are_invisible(cloud: Cloud, driver: Driver, host: Settings, libvirtd: Any) -> None:
    other_host = Driver(host.model_copy(update={"host": "neighbour"}), cloud.control)
    mine = spec(cloud.claim(new_id()))
    driver.spawn(mine, quiet)
    foreign = libvirtd.defineXML(
        f"<domain type='test'><name>instance-theirs</name><uuid>{uuid.uuid4()}</uuid><memory>8192</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    try:
        assert driver.domains() == {mine.instance_id: RUNNING} and other_host.domains() == {}
    finally:
        foreign.undefine()


def test_errors_are_sorted(cloud: Cloud, driver: Driver) -> None:
    instance_id = cloud.claim(new_id())
    bad = spec(instance_id, vifs=[vif(mac_address="not a mac")])
    with pytest.raises(ApplicationError) as failure:
        driver.spawn(bad, quiet)
    assert failure.value.type == HOPELESS and "mac" not in failure.value.message
    clash = cloud.claim(instance_id[:8] + new_id()[8:])  # the same domain name
    driver.spawn(spec(instance_id), quiet)
    with pytest.raises(ApplicationError) as failure:
        driver.spawn(spec(clash), quiet)
    assert failure.value.type == HOST_CANNOT

    class Refusal(libvirt.libvirtError):
        def __init__(self, code: int, domain: int, text: str = "boom secret-export") -> None:
            Exception.__init__(self, text)
            self.err = (code, domain, text, 0, "", "", "", 0, 0)

    lost = Refusal(libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_FROM_RPC)
    no_memory = Refusal(libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_FROM_QEMU)
    assert faults.is_connection_loss(lost) and not faults.is_connection_loss(no_memory)
    sorted_error = faults.sort(no_memory, HOST, ["secret-export"])
    assert isinstance(sorted_error, ApplicationError) and sorted_error.type == HOST_CANNOT
    assert "secret-export" not in str(sorted_error)
    busy = Refusal(libvirt.VIR_ERR_OPERATION_TIMEOUT, libvirt.VIR_FROM_QEMU)
    assert isinstance(faults.sort(busy, HOST, []), faults.LibvirtDown)


def test_unreachable_libvirt_is_transient(cloud: Cloud, host: Settings) -> None:
    away = Driver(host.model_copy(update={"libvirt_uri": "test+unix:///default?socket=/nonexistent"}), cloud.control)
    for work in (lambda: away.spawn(spec(new_id()), quiet), lambda: away.destroy(new_id()), away.domains):
        with pytest.raises(faults.LibvirtDown):
            work()


def test_a_call_that_hangs_is_given_up(driver: Driver) -> None:
    with pytest.raises(faults.LibvirtDown):
        driver._domains._libvirt.call(lambda _: time.sleep(1), timeout=0.1)
    assert driver.domains() == {}


def test_one_step_at_a_time_per_instance(cloud: Cloud, driver: Driver) -> None:
    wanted = spec(cloud.claim(new_id()))
    inside, most, lock = 0, 0, threading.Lock()
    define = driver.definitions.write

    def watched(xml: str) -> None:
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        time.sleep(0.05)
        define(xml)
        with lock:
            inside -= 1

    driver.definitions.write = watched  # type: ignore[method-assign]
    threads = [threading.Thread(target=driver.spawn, args=(wanted, quiet)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == 1 and driver.domains() == {wanted.instance_id: RUNNING}


def test_guests_that_stop_by_themselves_are_reported(cloud: Cloud, driver: Driver, libvirtd: Any) -> None:
    reported: list[Any] = []
    driver.events._control = type("Control", (), {"report_events": lambda _, events: reported.extend(events)})()
    driver.events.start()
    wanted = spec(cloud.claim(new_id()))
    driver.spawn(wanted, quiet)
    driver.destroy(wanted.instance_id)
    stopped, other = spec(cloud.claim(new_id())), spec(cloud.claim(new_id()))
    driver.spawn(stopped, quiet)
    driver.power.off(PowerOff(instance_id=stopped.instance_id, attempt=stopped.attempt), quiet)
    driver.spawn(other, quiet)
    time.sleep(0.5)
    assert reported == [], "what steps do is no news"
    driver._domains._libvirt.call(lambda c: c.lookupByUUIDString(other.instance_id).shutdown())
    until(lambda: reported)
    assert (reported[0].instance_id, reported[0].power_state) == (other.instance_id, SHUTDOWN)


def test_short_steps_are_short(cloud: Cloud, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: `pauses` and `beating`. A guest that was off at once was waited for a quarter of a second, and each
    step on a host cost a heartbeat."""
    waited: list[float] = []
    beats: list[str] = []
    monkeypatch.setattr("infra.host.power.time", SimpleNamespace(monotonic=time.monotonic, sleep=waited.append))
    wanted = spec(cloud.claim(new_id()))
    driver.spawn(wanted, lambda *_: beats.append("spawn"))
    driver.power.off(PowerOff(instance_id=wanted.instance_id, attempt=wanted.attempt), lambda *_: beats.append("off"))
    assert sum(waited) < 0.1 and beats == []
    assert list(itertools.islice(pauses(), 7)) == [0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25]


def test_an_event_is_believed_at_a_second_look_and_of_our_own_guests_only(
    cloud: Cloud, driver: Driver, libvirtd: Any
) -> None:
    """Mechanism: Events.look, by the owner tag. A guest that was started again at once was told as SHUTOFF."""
    reported: list[Any] = []
    driver.events._control = type("Control", (), {"report_events": lambda _, events: reported.extend(events)})()
    mine, other = spec(cloud.claim(new_id())), spec(cloud.claim(new_id()))
    driver.spawn(mine, quiet)
    driver.spawn(other, quiet)
    foreign = libvirtd.createXML(
        f"<domain type='test'><name>instance-00000001</name><uuid>{new_id()}</uuid><memory>8192</memory>"
        "<os><type>hvm</type></os></domain>"
    )
    with driver.events._changed:
        driver.events._muted.clear()  # the spawns' own echo
    for domain in (foreign, libvirtd.lookupByUUIDString(mine.instance_id)):
        driver.events.from_libvirt(None, domain, libvirt.VIR_DOMAIN_EVENT_STOPPED, 0, None)
    libvirtd.lookupByUUIDString(other.instance_id).shutdown()
    until(lambda: other.instance_id in driver.events._pending)
    driver.events.start()
    until(lambda: reported)
    assert {event.instance_id: event.power_state for event in reported} == {
        mine.instance_id: RUNNING,
        other.instance_id: SHUTDOWN,
    }
    foreign.destroy()


def test_console_and_inventory(cloud: Cloud, driver: Driver, host: Settings) -> None:
    wanted = spec(cloud.claim(new_id()))
    driver.spawn(wanted, quiet)
    assert driver.console_output(wanted.instance_id, None) == ""
    log = host.host_dir / "instances" / wanted.instance_id / "console.log"
    log.write_bytes(b"one\ntwo\n\xff three\n")
    assert driver.console_output(wanted.instance_id, 1) == "\ufffd three\n"
    assert driver.console_output(wanted.instance_id, None).startswith("one\n")
    log.write_bytes(b"x" * (5 << 20) + b"end\n")
    assert len(driver.console_output(wanted.instance_id, None)) == 100 * 1024
    driver.files.trim_logs()
    assert log.stat().st_size == 1 << 20 and driver.console_output(wanted.instance_id, 1).endswith("end\n")
    with pytest.raises(ApplicationError) as failure:
        driver.console_target(new_id())
    assert failure.value.details[0] == {"code": 409}
    inventory = driver.inventory()
    assert inventory["vcpus"] > 100 and inventory["facts"]["virt_type"] == "test"
    assert {"memory_mb", "disk_gb", "hypervisor_type", "hypervisor_version"} <= inventory.keys()


def test_heartbeat_reaches_the_compute_service(cloud: Cloud, driver: Driver) -> None:
    facts = driver.inventory()
    answer = cloud.control.heartbeat({**facts, "host_ip": "127.0.0.1", "zone": "nova", "started_at": None})
    assert answer["disabled"] is False and answer["id"]


def test_long_state_directories_get_short_sockets(cloud: Cloud, host: Settings, tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["a-rather-long-name"] * 6)
    driver = Driver(host.model_copy(update={"state_dir": deep}), cloud.control)
    instance_id = new_id()
    socket = driver._paths.make_socket_place(instance_id)
    assert len(str(socket)) <= 107 and socket.parent.is_dir()
    socket.write_text("")
    assert driver.facts().instance_dirs == [instance_id]
    driver.clean_up(instance_id)
    assert driver.facts().instance_dirs == []
    socket.parent.rmdir()


def test_an_interface_that_comes_later_is_of_the_images_model(cloud: Cloud, driver: Driver) -> None:
    wanted = spec(cloud.claim(new_id()), vifs=[vif()], image_properties={"hw_vif_model": "e1000"})
    driver.spawn(wanted, quiet)
    more = vif("0b3e3a2e-0000-4000-8000-000000000002", mac_address="fa:16:3e:00:00:02")
    late = NicOnGuest(instance_id=wanted.instance_id, attempt=1, vif=more)
    for _ in range(2):
        driver.interfaces.plug(late, quiet)
    models = fromstring(driver.definitions.read(wanted.instance_id) or "").findall("./devices/interface/model")
    assert [model.get("type") for model in models] == ["e1000", "e1000"]
    driver.interfaces.unplug(late, quiet)
    assert len(fromstring(driver.definitions.read(wanted.instance_id) or "").findall("./devices/interface")) == 1
