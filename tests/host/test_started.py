"""What a start asks libvirt, on its test driver."""

from collections.abc import Iterator
from typing import Any
from xml.etree.ElementTree import fromstring, tostring

import libvirt
import pytest

from infra.contracts.guarded import Guarded
from infra.contracts.limits import Limits
from infra.host.driver import Driver
from infra.host.libvirt import machine_xml
from infra.host.libvirt.domain_xml import domain_xml
from infra.settings import Settings
from tests.host.cloud import Cloud, new_id
from tests.host.specs import spec

RUNNING = 1
QUESTIONS = ("lookupByUUIDString", "defineXML", "createWithFlags", "metadata", "info", "state", "XMLDesc")
"""Calls of libvirt that its daemon answers."""


def quiet(*_: Any) -> None:
    pass


@pytest.fixture
def driver(cloud: Cloud, host: Settings) -> Iterator[Driver]:
    driver = Driver(host, cloud.control)
    yield driver
    for instance_id in driver.domains():
        driver.destroy(instance_id)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of what libvirt is asked, in order."""
    names: list[str] = []
    for kind in (libvirt.virConnect, libvirt.virDomain):
        for name in set(QUESTIONS) & set(vars(kind)):

            def note(self: Any, *args: Any, name: str = name, real: Any = getattr(kind, name)) -> Any:
                names.append(name)
                return real(self, *args)

            monkeypatch.setattr(kind, name, note)
    return names


def test_what_was_just_defined_is_not_asked_for(cloud: Cloud, driver: Driver, asked: list[str]) -> None:
    """Each question is some thirty system calls, and wakes three threads and the daemon."""
    driver.spawn(spec(cloud.claim(new_id())), quiet)
    assert asked == ["lookupByUUIDString", "defineXML", "createWithFlags", "info"]


def test_a_connection_that_did_not_define_the_guest_looks_for_it(
    cloud: Cloud, driver: Driver, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its limits are the same either way."""

    def limited(*told: Any) -> str:
        """As of a real guest: those of the test driver have no limits."""
        domain = fromstring(domain_xml(*told))
        machine_xml._keep_limits(domain, Limits(cpu_shares=7))
        return tostring(domain, encoding="unicode")

    held, bound = driver._fence.holds, []

    def lose_libvirtd(want: Guarded) -> bool:
        driver._domains._libvirt._drop("libvirtd was started again")
        return held(want)

    monkeypatch.setattr(driver, "report_quietly", lambda: None)  # beside it, whenever its thread comes to it
    monkeypatch.setattr("infra.host.definer.domain_xml", limited)
    monkeypatch.setattr(driver._domains._groups, "bound", lambda *told: bound.append(told[-1].cpu_shares))
    wanted = spec(cloud.claim(new_id()))
    with monkeypatch.context() as meanwhile:
        meanwhile.setattr(driver._fence, "holds", lose_libvirtd)
        assert driver.spawn(wanted, quiet).power_state == RUNNING
    rest = [name for name in asked if name != "metadata"]  # which the new connection asks, too, of each domain
    kept = "lookupByUUIDString"  # asked by a new connection for each guest that is pretended
    assert rest == ["lookupByUUIDString", "defineXML", kept, "lookupByUUIDString", "createWithFlags", "info"]
    driver.spawn(wanted.model_copy(update={"instance_id": cloud.claim(new_id())}), quiet)
    assert bound == [7, 7]
