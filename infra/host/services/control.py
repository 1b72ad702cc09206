"""The control plane as a compute host sees it: heartbeat, claims, lifecycle events. No database behind it here."""

from typing import Any

from keystoneauth1.session import Session
from pydantic import BaseModel

from infra.host.services.rest import Service
from infra.openstack import COMPUTE
from infra.settings import Settings


class Claim(BaseModel):
    instance_id: str
    attempt: int
    vm_state: str | None = None
    task_state: str | None = None


class LifecycleEvent(BaseModel):
    """`power_state` in Nova's numbers, `reason` in words."""

    instance_id: str
    power_state: int
    reason: str = ""


class ControlClient:
    """Calls the compute API's internal part, found in the catalog. Every failure is transient and propagates."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self._api = Service(session, COMPUTE, "/v2.1", settings.region)
        self._host = f"/kilonova/hosts/{settings.host}"

    def heartbeat(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Report inventory and that the host lives; answers {"id": service id, "disabled": bool}."""
        host: dict[str, Any] = self._api.ask("PUT", self._host, json={"host": facts}, connect_retries=0).json()["host"]
        return host

    def claims(self) -> list[Claim]:
        answer = self._api.ask("GET", f"{self._host}/claims", connect_retries=0).json()
        return [Claim.model_validate(claim) for claim in answer["claims"]]

    def attempt(self, instance_id: str) -> int:
        """The attempt of this host's claim on the instance; 0 when it has none."""
        answer = self._api.ask("GET", f"{self._host}/claims/{instance_id}", 200, 404)
        return int(answer.json()["claim"]["attempt"]) if answer.status_code == 200 else 0

    def report_events(self, events: list[LifecycleEvent]) -> None:
        body = {"events": [event.model_dump() for event in events]}
        self._api.ask("POST", f"{self._host}/events", 204, json=body)
