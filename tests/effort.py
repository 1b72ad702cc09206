"""How much of what the tests can ask a run asks: `./kilonova test` takes turns, any other run, and CI's, asks all.

A turn is one of six, one after the other with each commit. A function with the mark `turns` has its cases take turns
by themselves; of `DEAR`, files whose tests may follow each other and single tests, a turn has some whole."""

import os
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from workers.cli.checks import IN_TURNS

ROOT = Path(__file__).parents[1]
PARTS = 6
DEAR = {
    "tests/frame/test_recovery.py": 38,
    "tests/network/test_concurrency.py": 31,
    "tests/security/test_doors.py": 30,
    "tests/resilience/test_moves.py": 28,
    "tests/workflows/test_following_for_real.py": 27,
    "tests/e2e/test_full_disk.py": 24,
    "tests/e2e/test_trunks.py": 23,
    "tests/resilience/test_api_away.py": 23,
    "tests/resilience/test_guests_move.py": 20,
    "tests/e2e/test_firmware.py": 19,
    "tests/guest/test_boot.py": 19,
    "tests/volume/test_changes.py": 18,
    "tests/hostnet/test_trunks.py": 17,
    "tests/security/test_tls.py": 17,
    "tests/e2e/test_following.py": 15,
    "tests/embedded/test_life.py": 15,
    "tests/clients/test_functional.py": 14,
    "tests/host/test_tidying.py": 14,
    "tests/compute/test_guide.py": 10,
    "tests/host/test_disks.py": 10,
    "tests/resilience/test_leaks.py": 10,
    "tests/cli/test_unusable.py": 9,
    "tests/embedded/test_tokens.py": 9,
    "tests/frame/test_ended.py": 9,
    "tests/host/test_hung.py": 9,
    "tests/hostnet/test_audit.py": 9,
    "tests/resilience/test_deadline.py": 9,
    "tests/resilience/test_overload.py": 9,
    "tests/resilience/test_repairs.py": 9,
    "tests/workflows/test_metrics.py": 9,
    "tests/workflows/test_watching.py": 9,
    "tests/frame/test_volume_rebuilds.py": 8,
    "tests/host/test_shapes.py": 8,
    "tests/hostnet/test_shortcuts.py": 8,
    "tests/volume/test_copies.py": 8,
    "tests/compute/test_host_credentials.py": 7,
    "tests/host/test_agent.py": 7,
    "tests/host/test_full_disk.py": 7,
    "tests/hostnet/test_bandwidth.py": 7,
    "tests/workflows/test_shelved.py": 7,
    "tests/host/test_late_releases.py": 6,
    "tests/host/test_uids.py": 6,
    "tests/host/test_waiting.py": 6,
    "tests/host/test_worker.py": 6,
    "tests/resilience/test_identity_away.py": 6,
    "tests/resilience/test_network_leaks.py": 6,
    "tests/volume/test_full_store.py": 6,
    "tests/workflows/test_replay_command.py": 6,
    "tests/e2e/test_walkthrough.py::test_down_leaves_nothing_and_up_brings_guests_and_their_volumes_back": 25,
    "tests/cli/test_commands.py::test_a_cloud_of_two_hosts_from_up_to_down": 21,
    "tests/frame/test_outages.py::test_a_delete_while_any_action_ends_gets_through": 17,
    "tests/e2e/test_whole_life.py::test_a_guest_without_hotplug_keeps_what_it_was_given": 16,
    "tests/resilience/test_lost.py::test_workers_killed_in_the_middle_of_steps_lose_nothing": 16,
    "tests/frame/test_outages.py::test_a_delete_during_any_action_on_a_host_that_falls_silent_leaves_nothing_behind": 9,
}
"""Some seconds of processor time of each: what is dear for what it adds to the tests that every run asks."""
T = TypeVar("T")
WHOLE = IN_TURNS not in os.environ
TURN = int(os.environ.get(IN_TURNS, "0")) % PARTS


def of(things: Sequence[T]) -> list[T]:
    """Those that this run asks, in their order."""
    if WHOLE:
        return list(things)
    mixed = random.Random(len(things)).sample(range(len(things)), len(things))
    return [things[place] for place in sorted(mixed[TURN::PARTS])]


def left_out(items: Iterable[pytest.Item]) -> set[pytest.Item]:
    """Those whose turn it is not."""
    if WHOLE:
        return set()
    cases: dict[str, list[pytest.Item]] = defaultdict(list)
    others, left = {*DEAR} - {*hands(DEAR)[TURN]}, set()
    for item in items:
        if not others.isdisjoint((item.nodeid.partition("::")[0], item.nodeid.partition("[")[0])):
            left.add(item)
        elif item.get_closest_marker("turns"):
            cases[item.nodeid.partition("[")[0]].append(item)
    return left.union(*({*found} - {*of(found)} for found in cases.values()))


def hands(costs: dict[str, float]) -> list[list[str]]:
    """The names dealt out to all turns, so that these cost the same: the dearest first, to whoever has least."""
    dealt: list[list[str]] = [[] for _ in range(PARTS)]
    for name in sorted(costs, key=lambda name: (-costs[name], name)):
        min(dealt, key=lambda hand: sum(costs[each] for each in hand)).append(name)
    return dealt
