"""What lies on this host without a claim is undone: leftovers of builds that moved on while the host was away."""

import threading
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from infra import logs
from infra.host.driver import Driver
from infra.host.services.control import Claim, ControlClient

if TYPE_CHECKING:
    from infra.hostnet.plane import DataPlane

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
log = logs.get(__name__)


class Stopped(Exception):
    """The worker ends before the control plane could be asked."""


@dataclass
class Reconciled:
    """How many instances were looked at, how many claims there are, which instances were undone or could not be."""

    seen: int = 0
    claims: int = 0
    undone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)


def reconcile(driver: Driver, control: ControlClient, stop: threading.Event | None = None) -> Reconciled:
    """Undo every domain, directory and plugged port whose instance has no claim on this host.

    Nothing is touched before the control plane has answered; it and libvirt are asked until they do, or `stop` is set
    (then Stopped). Safe while steps run: a claim is older than anything its instance has here, so that what was
    listed first and is not claimed afterwards belongs to nobody."""
    stop = stop or threading.Event()
    present = _until_it_works(driver_inventory, driver, stop)
    claims: dict[str, Claim] = {
        claim.instance_id: claim for claim in _until_it_works(ControlClient.claims, control, stop)
    }
    result = Reconciled(seen=len(present), claims=len(claims))
    for instance_id in sorted(present - claims.keys()):
        try:
            driver.clean_up(instance_id)
            result.undone.append(instance_id)
        except Exception as error:
            log.warning("leftover could not be undone", instance_id=instance_id, error=str(error))
            result.failed.append(instance_id)
    if result.undone or result.failed:
        log.warning("reconciled", **asdict(result))
    return result


def driver_inventory(driver: Driver) -> set[str]:
    """Ids of all instances that have anything on this host."""
    facts = driver.facts()
    return {*facts.domains, *facts.instance_dirs, *facts.ports.values()}


def inventory_for_leaks(driver: Driver, hostnet: "DataPlane | None") -> dict[str, Any]:
    """JSON-able facts: {"domains": {id: power state}, "instance_dirs": [id], "ports": {port: id}, "network": {…}}."""
    facts = driver.facts().model_dump()
    return facts | {"network": hostnet.describe().model_dump() if hostnet else {}}


def _until_it_works(ask: Any, of: Any, stop: threading.Event) -> Any:
    pause = FIRST_PAUSE_S
    while True:
        try:
            return ask(of)
        except Exception as error:
            log.warning("waiting before reconciling", error=str(error), again_in_s=pause)
        if stop.wait(pause):
            raise Stopped
        pause = min(pause * 2, LONGEST_PAUSE_S)
