"""Whether what an operation left on a host is needed: asked by hosts that clear up, and by the audit."""

from collections.abc import Iterator, Mapping

from infra.contracts.audit import Finding, World
from infra.contracts.left import REVERTED, Fate

SAID = {
    Fate.OVER: "its record says that the operation is over",
    Fate.OWED: "its record says that the operation failed, and the host has not undone it",
}


def fate(name: str, request_id: str, vm_state: str, ended: Mapping[str, bool]) -> Fate | None:
    """Of one thing that is left of a server at rest. `ended`: request → whether its action succeeded. What a rebuild
    keeps is the only copy of a disk, so that its own action must say how it ended."""
    label = name.partition("-")[0]
    if label == "rescue":
        return None if vm_state == "rescued" else Fate.OVER
    if label in ("resize", REVERTED):
        return None if vm_state == "resized" else Fate.OVER
    if label == "rebuild" and request_id:
        return {True: Fate.OVER, False: Fate.OWED}.get(ended[request_id]) if request_id in ended else None
    return Fate.OVER if label in ("rebuild", "snapshot") else None


def set_aside(world: World) -> Iterator[Finding]:
    """Told: its host clears it up by itself, once the guest can do without it."""
    for host, standings in world.left.items():
        for instance_id, standing in standings.items():
            for name, said in standing.fates.items():
                if name != REVERTED:
                    yield Finding(kind="set_aside", instance_id=instance_id, host=host, what=name, proof=SAID[said])
