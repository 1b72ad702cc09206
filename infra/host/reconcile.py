"""What lies on this host and is positively not its own is undone: leftovers of builds that moved on while it was away.

Absence proves nothing: what the control plane does not know is left running, named and counted."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import TypeVar

from infra import logs
from infra.contracts.verdict import GONE, Verdict
from infra.host.driver import Driver
from infra.host.services.control import ControlClient

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 10.0
SECOND_LOOK_S = 1.0
Out = TypeVar("Out")
log = logs.get(__name__)


class Stopped(Exception):
    """The worker ends before the control plane could be asked."""


@dataclass
class Reconciled:
    """How many instances were looked at, which were undone or could not be, which nobody knows."""

    seen: int = 0
    undone: list[str] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


def reconcile(
    driver: Driver, control: ControlClient, stop: threading.Event | None = None, *, patient: bool = True
) -> Reconciled:
    """Undo every domain, directory and plugged port whose instance is, by two looks, deleted, claimed by another host,
    or given back by its build.

    Nothing is touched before a control plane of this host's own cloud has answered; it and libvirt are asked until
    they do, or `stop` is set (then Stopped); without patience they are asked once, and what they raise is raised. Safe
    while steps run: a claim is older than anything its instance has here, so that what was listed first and is not
    claimed afterwards is not this host's."""
    stop = stop or threading.Event()
    asked = partial(_until_it_works, stop=stop) if patient else _once
    present = asked(driver.present)
    first = asked(lambda: control.verdicts(present))
    result = Reconciled(seen=len(present), unknown=unknown(first))
    gone = [instance_id for instance_id, verdict in sorted(first.items()) if verdict in GONE]
    if gone:
        if stop.wait(SECOND_LOOK_S):
            raise Stopped
        again = asked(lambda: control.verdicts({id: present[id] for id in gone}))
        _undo(driver, [id for id in gone if again[id] in GONE], result)
    if result.undone or result.failed or result.unknown:
        log.warning("reconciled", **asdict(result))
    return result


def unknown(verdicts: dict[str, Verdict]) -> list[str]:
    return sorted(instance_id for instance_id, verdict in verdicts.items() if verdict == Verdict.UNKNOWN)


def _undo(driver: Driver, gone: list[str], result: Reconciled) -> None:
    for instance_id in gone:
        try:
            driver.clean_up(instance_id)
            result.undone.append(instance_id)
        except Exception as error:
            log.warning("leftover could not be undone", instance_id=instance_id, error=str(error))
            result.failed.append(instance_id)


def _once(ask: Callable[[], Out]) -> Out:
    return ask()


def _until_it_works(ask: Callable[[], Out], stop: threading.Event) -> Out:
    pause = FIRST_PAUSE_S
    while True:
        try:
            return ask()
        except Exception as error:
            log.warning("waiting before reconciling", error=str(error), again_in_s=pause)
        if stop.wait(pause):
            raise Stopped
        pause = min(pause * 2, LONGEST_PAUSE_S)
