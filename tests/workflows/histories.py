"""Recorded histories, read back."""

import base64
import json
import re
from pathlib import Path

from temporalio.client import WorkflowHistory

HISTORIES = Path(__file__).resolve().parents[1] / "histories"

ENDS_OF_ACTIONS: dict[str, dict[str, str]] = {
    "good": {},
    "failed": {"fail_before": "end_action"},
    "refused": {},
    "cancelled": {"hold": "end_action"},
    "deleted": {"hold": "end_action"},
}
"""Kind of end → the faults that bring an action to it; recorded for every row of workflows/actions.py."""


def name_of(workflow: type) -> str:
    """`stop_instance` for StopInstance: the file that a workflow lies in, and the stem of its histories."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", workflow.__name__).lower()


def names() -> list[str]:
    return sorted(file.stem for file in HISTORIES.glob("*.json"))


def load(name: str) -> WorkflowHistory:
    return WorkflowHistory.from_json(name, (HISTORIES / f"{name}.json").read_text())


def in_words(name: str) -> str:
    """Everything in the file, with its payloads decoded: for searching."""
    text = (HISTORIES / f"{name}.json").read_text()
    payloads = (base64.b64decode(data).decode(errors="replace") for data in re.findall(r'"data": "([^"]*)"', text))
    return "\n".join([text, *payloads])


def ended(name: str) -> tuple[str, str]:
    """How the run ended (COMPLETED, FAILED, …), and with which words."""
    last = json.loads((HISTORIES / f"{name}.json").read_text())["events"][-1]
    found = last.get("workflowExecutionFailedEventAttributes", {}).get("failure", {}).get("message", "")
    return last["eventType"].removeprefix("EVENT_TYPE_WORKFLOW_EXECUTION_"), found
