"""Every kind of end of every workflow is recorded, and today's code does again what it did then.

Switched off by: taking away a file of tests/histories, or changing the steps of a workflow without `patched`."""

import re

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter

from tests.workflows import histories
from tests.workflows.ways import WAYS
from workers.control import WORKFLOWS
from workers.replay import replay
from workflows.actions import ACTIONS

ENDS = {
    "boot_instance": {
        "good": ("COMPLETED", ""),
        "bare": ("COMPLETED", ""),
        "found-at-its-end": ("COMPLETED", ""),
        "found-while-it-runs": ("COMPLETED", ""),
        "built-again": ("COMPLETED", ""),
        "image-there": ("COMPLETED", ""),
        "image-there-failed": ("FAILED", "injected at spawn"),
        "step-retried": ("COMPLETED", ""),
        "rescheduled": ("COMPLETED", ""),
        "host-gone": ("COMPLETED", ""),
        "parked-retried": ("COMPLETED", ""),
        "parked-aborted": ("FAILED", "injected at spawn"),
        "parked-forgotten": ("FAILED", "injected at spawn"),
        "failed": ("FAILED", "injected at spawn"),
        "undo-failed": ("FAILED", "not undone: unplug_ports"),
        "no-valid-host": ("FAILED", "No valid host was found"),
        "overdue": ("FAILED", "Not finished before its deadline"),
        "refused-token": ("FAILED", "requires authentication"),
        "refused-quota": ("FAILED", "Quota exceeded"),
        "cancelled": ("CANCELED", ""),
        "deleted": ("CONTINUED_AS_NEW", ""),
    },
    "begin_later": {
        "begun": ("CONTINUED_AS_NEW", ""),
        "over": ("COMPLETED", ""),
        "cancelled": ("CANCELED", ""),
    },
    "delete_instance": {
        "good": ("COMPLETED", ""),
        "bare": ("COMPLETED", ""),
        "twice": ("COMPLETED", ""),
        "already-gone": ("COMPLETED", ""),
        "of-a-build": ("COMPLETED", ""),
        "soft": ("COMPLETED", ""),
        "abandoned": ("COMPLETED", ""),
        "host-gone": ("COMPLETED", ""),
    },
    "follow_services": {
        "good": ("COMPLETED", ""),
        "failed": ("FAILED", ""),
        "cancelled": ("CANCELED", ""),
    },
    "reconcile_cloud": {
        "good": ("COMPLETED", ""),
        "leak-repaired": ("COMPLETED", ""),
        "failed": ("FAILED", ""),
        "cancelled": ("CANCELED", ""),
    },
    "repair_instance": {
        "good": ("COMPLETED", ""),
        "nothing": ("COMPLETED", ""),
        "unmended": ("COMPLETED", ""),
        "failed": ("FAILED", "injected at inspect_instance"),
        "cancelled": ("CANCELED", ""),
        "deleted": ("CONTINUED_AS_NEW", ""),
        "abandoned": ("CONTINUED_AS_NEW", ""),
    },
}
ENDS |= {
    histories.name_of(row.workflow): {
        "good": ("COMPLETED", ""),
        "failed": ("FAILED", "injected at end_action"),
        "refused": ("FAILED", f"Cannot '{row.transition_for(WAYS[row.name].body).verb}' instance"),
        "cancelled": ("CANCELED", ""),
        "deleted": ("CONTINUED_AS_NEW", ""),
    }
    for row in ACTIONS.values()
}
for _name in ("attach_volume", "detach_volume"):
    ENDS[_name]["one-step"] = ("COMPLETED", "")
for _name in ("resize_instance", "confirm_resize", "revert_resize"):
    ENDS[_name]["elsewhere"] = ("COMPLETED", "")
for _name in ("resize_instance", "revert_resize", "unrescue_instance"):
    ENDS[_name]["asked"] = ("COMPLETED", "")
ENDS["resize_instance"] |= {
    "carried": ("COMPLETED", ""),
    "carried-failed": ("FAILED", "injected at end_action"),
    "carried-nowhere": ("FAILED", "No valid host was found"),
    "elsewhere-failed": ("FAILED", "injected at end_action"),  # of before, as "elsewhere"
}
ENDS["create_image"]["volume-backed"] = ("COMPLETED", "")
ENDS["rebuild_instance"] |= dict.fromkeys(("volume-written", "volume-kept"), ("COMPLETED", ""))
BOTH_HOSTS = "(?s)(?=.*spawn on node1)(?=.*spawn on node2)"
TELLING = {  # a word that only this kind of end has in it
    "boot_instance-host-gone": BOTH_HOSTS,
    "boot_instance-found-at-its-end": '"build_of": ?1',
    "boot_instance-found-while-it-runs": '(?s)(?=.*"build_of": ?1)(?=.*check_host)',
    "boot_instance-parked-retried": '"decide"',
    "boot_instance-image-there": '"has_image": ?true',
    "boot_instance-image-there-failed": "remove disk on node1",
    "boot_instance-rescheduled": BOTH_HOSTS,
    "boot_instance-built-again": '"action": "retry"',
    "delete_instance-host-gone": "release_services",
    "delete_instance-of-a-build": "CONTINUE_AS_NEW|continuedExecutionRunId",
    "delete_instance-abandoned": "ended from outside",
    "delete_instance-twice": "WORKFLOW_EXECUTION_SIGNALED",
    "attach_volume-one-step": "give_volume",
    "detach_volume-one-step": "take_volume",
    "resize_instance-elsewhere": "(?s)(?=.*leave host on node)(?=.*arrive on node)",
    "resize_instance-elsewhere-failed": "(?s)(?=.*come back on node)(?=.*injected)",
    "resize_instance-carried": "(?s)(?=.*pack files on node)(?=.*unpack files on node)(?=.*arrive on node)",
    "resize_instance-carried-failed": "(?s)(?=.*drop files on node)(?=.*come back on node)",
    "resize_instance-carried-nowhere": "(?s)(?=.*claim_resize.*claim_resize)(?=.*come back on node)",
    "confirm_resize-elsewhere": "clean up on node",
    "revert_resize-elsewhere": "(?s)(?=.*come back on node)(?=.*remove disk on node)",
    "resize_instance-asked": "(?s)(?=.*require_attachments.*leave host on node)(?=.*arrive on node)",
    "revert_resize-asked": "(?s)(?=.*require_attachments.*come back on node)",
    "unrescue_instance-asked": "(?s)require_attachments.*bring_back|require_attachments.*bring back",
    "create_image-volume-backed": "snapshot_volumes",
    "rebuild_instance-volume-written": "reimage_volume",
    "rebuild_instance-volume-kept": "bring_back|set_aside",
    "begin_later-begun": "begin_due",
    "reconcile_cloud-leak-repaired": '"repaired": ?true',
    "repair_instance-good": '"repaired": ?true',
    "repair_instance-unmended": "injected at forget",
    "repair_instance-deleted": "WORKFLOW_EXECUTION_SIGNALED",
    "repair_instance-abandoned": "ended from outside",
}
PRIVATE = re.compile(r"hunter2|aHVudGVy|gAAAA|binary/encrypted|/tmp/|/work/|/home/")


def test_every_workflow_has_every_kind_of_end() -> None:
    in_snake = {re.sub(r"(?<!^)(?=[A-Z])", "_", workflow.__name__).lower() for workflow in WORKFLOWS}
    assert set(ENDS) == in_snake
    assert set(histories.names()) == {f"{workflow}-{end}" for workflow, ends in ENDS.items() for end in ends}


@pytest.mark.parametrize("name", histories.names())
def test_a_history_is_what_its_name_says_and_tells_no_secret(name: str) -> None:
    workflow, _, end = name.partition("-")
    status, words = histories.ended(name)
    assert status == ENDS[workflow][end][0]
    assert ENDS[workflow][end][1] in words
    told = histories.in_words(name)
    assert re.search(TELLING.get(name, ""), told)
    assert not PRIVATE.search(told)


@pytest.mark.parametrize("name", histories.names())
async def test_todays_code_replays_it(name: str) -> None:
    replayed = await replay(histories.load(name), pydantic_data_converter)
    assert replayed.difference == ""
    assert all(step.input for step in replayed.steps)
