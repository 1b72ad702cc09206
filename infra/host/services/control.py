"""The control plane as a compute host sees it: heartbeat, claims, lifecycle events. No database behind it here."""

from typing import Any

from keystoneauth1.session import Session
from pydantic import BaseModel

from infra.contracts.hypervisor import DomainSpec
from infra.contracts.left import Left, Standing
from infra.contracts.verdict import Verdict
from infra.host.services.cloud_id import CloudId, ForeignCloud
from infra.host.services.rest import Service, words
from infra.openstack import COMPUTE
from infra.settings import Settings

AT_ONCE = 500
"""Instances in one question."""


class Claim(BaseModel):
    instance_id: str
    attempt: int
    vm_state: str | None = None
    task_state: str | None = None
    power_state: int | None = None


class LifecycleEvent(BaseModel):
    """`power_state` in Nova's numbers, `reason` in words."""

    instance_id: str
    power_state: int
    reason: str = ""


class ControlClient:
    """Calls the compute API's internal part, found in the catalog. Failures are sorted as `Service` does."""

    def __init__(self, settings: Settings, session: Session) -> None:
        self._api = Service(session, COMPUTE, "/v2.1", settings.region)
        self._host = f"/kilonova/hosts/{settings.host}"
        self._cloud = CloudId(settings)

    def heartbeat(self, facts: dict[str, Any]) -> dict[str, Any]:
        """Report inventory and that the host lives; answers {"id": service id, "disabled": bool}.

        Raises ForeignCloud when the control plane is not the one that this host belongs to."""
        body = {"host": {**facts, "cloud_id": self._cloud.known}}
        answer = self._api.ask("PUT", self._host, 200, 409, json=body, connect_retries=0)
        if answer.status_code == 409:
            raise ForeignCloud(words(answer)[1])
        host: dict[str, Any] = answer.json()["host"]
        self._cloud.require(host["cloud_id"])
        return host

    def verdicts(self, present: dict[str, int]) -> dict[str, Verdict]:
        """What the records say of this host's instances, given with the attempt of each guest (0: no guest).

        Raises ForeignCloud as `heartbeat` does: another cloud's records say nothing."""
        found: dict[str, Verdict] = {}
        ids = sorted(present)
        for start in range(0, max(len(ids), 1), AT_ONCE):
            some = {id: present[id] for id in ids[start : start + AT_ONCE]}
            path = f"{self._host}/instances"
            answer = self._api.ask("POST", path, json={"instances": some}, connect_retries=0).json()
            self._cloud.require(answer["cloud_id"])
            found |= {id: Verdict(word) for id, word in answer["instances"].items()}
        return found

    def standings(self, left: Left) -> list[Standing]:
        """What the records say of the servers at rest among those of which something is `left` here; of the others,
        and by a control plane of an older release, nothing is said. Raises ForeignCloud as `heartbeat` does."""
        found: list[Standing] = []
        ids = sorted(left)
        for start in range(0, len(ids), AT_ONCE):
            body = {"left": {id: left[id] for id in ids[start : start + AT_ONCE]}}
            answer = self._api.ask("POST", f"{self._host}/left", 200, 404, json=body, connect_retries=0)
            if answer.status_code == 404:
                return []
            self._cloud.require(answer.json()["cloud_id"])
            found += [Standing.model_validate(standing) for standing in answer.json()["servers"].values()]
        return found

    def claims(self) -> list[Claim]:
        answer = self._api.ask("GET", f"{self._host}/claims", connect_retries=0).json()
        return [Claim.model_validate(claim) for claim in answer["claims"]]

    def guest(self, instance_id: str) -> DomainSpec | None:
        """What the config drive of a guest of this host has to tell now; None when that cannot be known."""
        answer = self._api.ask("GET", f"{self._host}/metadata/{instance_id}", 200, 404, 409, connect_retries=0)
        return DomainSpec.model_validate(answer.json()["guest"]) if answer.status_code == 200 else None

    def attempt(self, instance_id: str) -> int:
        """The attempt of this host's claim on the instance; 0 when it has none."""
        answer = self._api.ask("GET", f"{self._host}/claims/{instance_id}", 200, 404)
        return int(answer.json()["claim"]["attempt"]) if answer.status_code == 200 else 0

    def report_events(self, events: list[LifecycleEvent]) -> None:
        body = {"events": [event.model_dump() for event in events]}
        self._api.ask("POST", f"{self._host}/events", 204, json=body)
