"""What of an operation's leftovers a record still has a claim on."""

import pytest

from activities.auditing.compare import compare, repairable
from activities.auditing.set_aside import fate, set_aside
from infra.contracts.hypervisor import FlavorFacts
from infra.contracts.left import REVERTED, Fate, Standing
from tests.auditing.worlds import ID, bare, server, shown

FLAVOR = FlavorFacts(id="1", name="f", vcpus=1, ram=64)


@pytest.mark.parametrize(
    ("name", "vm_state", "said"),
    [
        ("rescue", "rescued", None),
        ("rescue", "active", Fate.OVER),
        ("rescue", "error", Fate.OVER),
        ("resize", "resized", None),
        ("resize", "stopped", Fate.OVER),
        ("rebuild", "active", None),
        ("snapshot-1", "active", Fate.OVER),
        ("reverted", "resized", None),
        ("reverted", "active", Fate.OVER),
        ("what a newer release keeps", "active", None),
    ],
)
def test_by_the_state(name: str, vm_state: str, said: Fate | None) -> None:
    assert fate(name, "req-1", vm_state, {}) is said


def test_a_rebuild_by_its_end() -> None:
    assert fate("rebuild", "req-1", "active", {"req-1": True, "req-2": False}) is Fate.OVER
    assert fate("rebuild", "req-2", "active", {"req-1": True, "req-2": False}) is Fate.OWED
    assert fate("rebuild", "", "active", {}) is Fate.OVER


def test_it_is_told_and_left_to_its_host() -> None:
    fates = {"rescue": Fate.OVER, "rebuild": Fate.OWED, REVERTED: Fate.OVER}  # a note to the host itself
    standing = Standing(instance_id=ID, attempt=1, vm_state="active", flavor=FLAVOR, fates=fates)
    world = bare(server(), left={"here": {ID: standing}})
    assert shown(set_aside(world)) == [(ID, "here", "rescue", True), (ID, "here", "rebuild", True)]
    found = [each for each in compare(world) if each.kind == "set_aside"]
    assert len(found) == 2 and not any(repairable(each) for each in found)
