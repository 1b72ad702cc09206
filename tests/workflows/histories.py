"""Recorded histories, read back."""

import base64
import json
import re
from pathlib import Path

from temporalio.client import WorkflowHistory

HISTORIES = Path(__file__).resolve().parents[1] / "histories"


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
