"""Watches a build through the API's own instance actions: prints each step when it ends."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console

from workers.cli.client import Client

EVERY_S = 0.5


@dataclass(frozen=True)
class Step:
    """A finished step: name, host or "", seconds, result."""

    name: str
    host: str
    seconds: float
    result: str


class StepWatch:
    def __init__(self, client: Client, server_id: str, console: Console) -> None:
        self._client, self._server_id, self._console = client, server_id, console
        self._told: set[str] = set()
        self.steps: list[Step] = []

    def until_built(self, seconds: float) -> dict[str, Any]:
        """The server once it is no longer in BUILD, or as it is after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            server: dict[str, Any] = self._client.get(f"/servers/{self._server_id}")["server"]
            self._look()
            if server["status"] != "BUILD" or time.monotonic() > end:
                return server
            time.sleep(EVERY_S)

    def _look(self) -> None:
        path = f"/servers/{self._server_id}/os-instance-actions"
        actions = [a for a in self._client.get(path)["instanceActions"] if a["action"] == "create"]
        if not actions:
            return
        events = self._client.get(f"{path}/{actions[0]['request_id']}")["instanceAction"].get("events", [])
        finished = [event for event in events if event.get("finish_time")]
        for event in sorted(finished, key=lambda each: str(each["start_time"])):
            key = f"{event['event']} {event['start_time']}"
            if key not in self._told:
                self._told.add(key)
                self._tell(event)

    def _tell(self, event: dict[str, Any]) -> None:
        seconds = (_time(event["finish_time"]) - _time(event["start_time"])).total_seconds()
        step = Step(event["event"], event.get("host") or "", seconds, event.get("result") or "")
        self.steps.append(step)
        colour = "green" if step.result == "Success" else "red"
        self._console.print(f"  [{colour}]{step.result:>7}[/] {step.name} [dim]{seconds:.2f} s {step.host}[/]")


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("Z"))
