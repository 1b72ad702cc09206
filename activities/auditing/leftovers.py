"""What hangs on servers that hold nothing any more.

A finding's proof says what was established: that the thing is ours, by its mark or its place, and that a record says
its server is gone. What no record knows is told as `unknown`, and is never ours."""

from collections.abc import Iterator

from activities.auditing.marks import bound_port, made_attachment, made_port, made_volume
from activities.auditing.verdicts import verdict
from infra.contracts.audit import RESIZE, Finding, Server, World
from infra.contracts.hypervisor import HostFacts
from infra.contracts.verdict import GONE, Verdict

SAID = {
    Verdict.DELETED: "its record says that the server is deleted",
    Verdict.ELSEWHERE: "its record says that another host has the claim",
    Verdict.RELEASED: "its record says that its build gave the claim on this host back",
}
MARKED = "its id follows from the server's"


def judged(world: World, host: str, facts: HostFacts, instance_id: str) -> Verdict:
    """A server at work counts as claimed: its workflow answers for it."""
    server = world.servers.get(instance_id)
    if server is not None and server.busy:
        return Verdict.CLAIMED
    return verdict(world.known(instance_id), host, facts.attempts.get(instance_id, 0))


def _on_hosts(world: World) -> Iterator[tuple[str, str, str, str, Verdict]]:
    """(kind, host, instance id, thing, verdict) of everything on every host."""
    for host, facts in world.hosts.items():
        found = [("domain", id, "") for id in facts.domains] + [("disk", id, "") for id in facts.instance_dirs]
        for kind, instance_id, what in found + [("host_port", id, port) for port, id in facts.ports.items()]:
            yield kind, host, instance_id, what, judged(world, host, facts, instance_id)


def _on_host(world: World, wanted: str) -> Iterator[Finding]:
    for kind, host, instance_id, what, said in _on_hosts(world):
        if kind == wanted and said in GONE:
            yield Finding(kind=kind, instance_id=instance_id, host=host, what=what, proof=SAID[said])


def domain(world: World) -> Iterator[Finding]:
    yield from _on_host(world, "domain")


def disk(world: World) -> Iterator[Finding]:
    yield from _on_host(world, "disk")


def host_port(world: World) -> Iterator[Finding]:
    yield from _on_host(world, "host_port")


def _holds_nothing(server: Server | None) -> str:
    """Why, as its record says; "" for a server that keeps what it has, is at work, or is unknown."""
    if server is None or server.busy or server.keeps:
        return ""
    return SAID[Verdict.DELETED] if server.known.deleted else "its record says that its build failed and gave all back"


def port(world: World) -> Iterator[Finding]:
    for id, seen in world.ports.items():
        why = _holds_nothing(world.servers.get(seen.device_id))
        if why and made_port(id, seen):
            yield Finding(kind="port", instance_id=seen.device_id, what=id, proof=f"{MARKED}; {why}")


def binding(world: World) -> Iterator[Finding]:
    """A tenant's own port that we bound."""
    for id, seen in world.ports.items():
        why = _holds_nothing(world.servers.get(seen.device_id))
        if why and bound_port(seen) and not made_port(id, seen):
            proof = f"its binding profile names the server; {why}"
            yield Finding(kind="binding", instance_id=seen.device_id, what=id, proof=proof)


def attachment(world: World) -> Iterator[Finding]:
    for id, seen in world.attachments.items():
        why = _holds_nothing(world.servers.get(seen.instance_id))
        if why and made_attachment(id, seen):
            yield Finding(
                kind="attachment",
                instance_id=seen.instance_id,
                what=id,
                volume_id=seen.volume_id,
                proof=f"{MARKED}; {why}",
            )


def volume(world: World) -> Iterator[Finding]:
    """One that is to outlive its server belongs to the tenant since the server first ran."""
    for id, seen in world.volumes.items():
        server = world.servers.get(seen.made_for)
        why = _holds_nothing(server)
        goes = seen.goes_with_it or (server is not None and not server.known.launched)
        if why and goes and made_volume(id, seen):
            yield Finding(kind="volume", instance_id=seen.made_for, what=id, proof=f"{MARKED}; nothing uses it; {why}")


def image(world: World) -> Iterator[Finding]:
    """One that a server was shelved into, and that it does not wait in any more."""
    for id, instance_id in world.images.items():
        server = world.servers.get(instance_id)
        if server is None or server.busy or server.shelved:
            continue
        why = SAID[Verdict.DELETED] if server.known.deleted else "its record says that it is not shelved"
        yield Finding(kind="image", instance_id=instance_id, what=id, proof=f"its id follows from a request; {why}")


def allocation(world: World) -> Iterator[Finding]:
    for server in world.servers.values():
        why = _holds_nothing(server)
        for host in server.known.held if why else ():
            yield Finding(kind="allocation", instance_id=server.id, host=host, proof=why)
        if server.resize_on and not why and not server.awaits:
            said = "its record says that no resize of it waits"
            yield Finding(kind="allocation", instance_id=server.id, host=server.resize_on, what=RESIZE, proof=said)


def console_token(world: World) -> Iterator[Finding]:
    for id in world.consoles:
        server = world.servers.get(id)
        if server is not None and server.known.deleted:
            yield Finding(kind="console_token", instance_id=id, proof=SAID[Verdict.DELETED])


def unknown(world: World) -> Iterator[Finding]:
    """What is ours by its mark or its place, of a server that no record knows. Told, and left alone."""
    for kind, host, instance_id, what, said in _on_hosts(world):
        if said == Verdict.UNKNOWN:
            yield Finding(kind="unknown", instance_id=instance_id, host=host, what=what or kind)
    for id, claim in world.claims.items():
        for host in claim.held:
            yield Finding(kind="unknown", instance_id=id, host=host, what="allocation")
    things = {id: seen.device_id for id, seen in world.ports.items() if made_port(id, seen) or bound_port(seen)}
    things |= {id: seen.instance_id for id, seen in world.attachments.items() if made_attachment(id, seen)}
    things |= {id: seen.made_for for id, seen in world.volumes.items() if made_volume(id, seen)}
    for what, instance_id in things.items():
        if instance_id not in world.servers:
            yield Finding(kind="unknown", instance_id=instance_id, what=what)
