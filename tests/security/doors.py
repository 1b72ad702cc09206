"""Tries every door of a running cloud as somebody who must not come through: `python -m tests.security.doors STATE`.

Started as root, which finds the doors, and becomes an unprivileged local user (65534, no groups) to try them. Prints a
line a door; exit status 1 when one is open. Doors of a stolen host's credential are in tests/security/stolen.py."""

import encodings.idna  # noqa: F401 - nobody may not read the interpreter's files any more
import http.client
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra import credentials
from infra.hostnet.netns import entered
from infra.settings import Settings
from workers.layout import Layout, guest_uid, guest_uids
from workers.plan import Plan

NOBODY = 65534
ASK_FOR_A_CREDENTIAL = {
    "identity", "compute", "placement", "image", "network", "volume", "codec", "temporal_ui", "console",
}  # fmt: skip
"""What may listen where anybody on the machine connects; what it answers is tried below."""
WITHOUT_A_TOKEN = {
    "compute": ("/v2.1/servers", "/v2.1/kilonova/hosts/node1/claims", "/v2.1/os-services"),
    "placement": ("/resource_providers", "/usages?project_id=p"),
    "image": ("/v2/images",),
    "network": ("/v2.0/ports",),
    "volume": ("/v3/volumes",),
    "identity": ("/v3/users", "/v3/auth/catalog"),
    "temporal_ui": ("/", "/namespaces/default/workflows", "/api/v1/namespaces", "/api/v1/namespaces/default/workflows"),
}


@dataclass(frozen=True)
class Door:
    """`opens` is true when somebody without a credential comes through; an OSError is a door that is shut."""

    name: str
    opens: Callable[[], bool]


def doors(settings: Settings) -> Iterator[Door]:
    """Must be called by root: an unprivileged user does not even see some of them."""
    cloud = _processes(settings)
    yield from _ports(settings, cloud)
    yield from _answers(settings)
    for socket_path in sorted(_sockets(cloud)):
        yield Door(f"socket {socket_path!r}", lambda socket_path=socket_path: _connects(socket_path))
    secrets = _secrets(settings)
    for process in cloud:
        who = f"{process.pid} ({process.name()})"
        for name in ("environ", "root/etc/shadow", "mem"):
            yield Door(f"{name} of {who}", _reads(Path(f"/proc/{process.pid}/{name}")))
        yield Door(f"cmdline of {who} tells a secret", _tells(Path(f"/proc/{process.pid}/cmdline"), secrets))
    for path in settings.state_dir.rglob("*"):
        if path.is_file() and not path.is_symlink() and _secret(path.relative_to(settings.state_dir)):
            yield Door(f"file {path}", _reads(path))
    for path in (settings.state_dir, *(p for p in settings.state_dir.iterdir() if p.is_dir())):
        yield Door(f"making a file in {path}", lambda path=path: _makes(path / "doors"))
    for path in Path("/run/netns").glob("kilonova*"):
        yield Door(f"namespace {path}", lambda path=path: _enters(path.name))


def _processes(settings: Settings) -> list[psutil.Process]:
    found: dict[int, psutil.Process] = {}
    for file in settings.run_dir.glob("*.pid"):
        try:
            process = psutil.Process(int(file.read_text().split()[0]))
            found |= {p.pid: p for p in (process, *process.children(recursive=True))}
        except (psutil.NoSuchProcess, ValueError, IndexError):
            continue
    return list((found | {p.pid: p for p in _guests(settings)}).values())


def _guests(settings: Settings) -> Iterator[psutil.Process]:
    """QEMU, which libvirtd lets go of, and all else that lives in the guests' network namespaces."""
    layout = Layout.load(settings.state_dir)
    theirs = (
        {file.stat().st_ino for file in Path("/run/netns").glob(f"{layout.netns}*")} if layout and layout.netns else ()
    )
    users = {guest_uid(settings)}.union(*(guest_uids(settings, n) for n in range(len(layout.hosts) if layout else 1)))
    for process in psutil.process_iter():
        try:
            inside = Path(f"/proc/{process.pid}/ns/net").stat().st_ino in theirs
            if inside or process.uids().real in users:
                yield process
        except (OSError, psutil.NoSuchProcess):
            continue


def _secrets(settings: Settings) -> set[bytes]:
    """Passwords, payload keys and the operator's token."""
    keys = json.loads(settings.codec_keys.read_text())["keys"].values()
    operator = (settings.state_dir / "keys" / "codec-token").read_text().strip()
    return {word.encode() for word in (*credentials.load(settings.state_dir).values(), *keys, operator)}


def _ports(settings: Settings, cloud: list[psutil.Process]) -> Iterator[Door]:
    """Whatever the cloud's processes listen on by TCP, known to us or not."""
    asking = {settings.port(name) for name in ASK_FOR_A_CREDENTIAL}
    here = Path("/proc/self/ns/net").readlink()
    reached = [p for p in cloud if Path(f"/proc/{p.pid}/ns/net").readlink() == here]
    listening = {c.laddr for p in reached for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN}
    listening |= {(settings.listen, settings.port(name)) for name in ("temporal", "metrics", "nbd")}
    for address, port in sorted({(address, port) for address, port in listening}):
        if port not in asking:
            yield Door(f"tcp {address}:{port}", lambda a=address, p=port: _listens(a, p))


def _answers(settings: Settings) -> Iterator[Door]:
    for service, paths in WITHOUT_A_TOKEN.items():
        for path in paths:
            yield Door(f"{service} GET {path}", _admits(settings, service, "GET", path, {}))
    origin = {"Origin": f"http://{settings.listen}:{settings.port('temporal_ui')}"}
    for service, path in (("codec", "/decode"), ("codec", "/encode"), ("temporal_ui", "/codec/decode")):
        for extra in ({}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp4"}):
            yield Door(f"{service} POST {path} {extra}", _admits(settings, service, "POST", path, origin | extra))


def _admits(settings: Settings, service: str, method: str, path: str, headers: dict[str, str]) -> Callable[[], bool]:
    def admits() -> bool:
        connection = http.client.HTTPConnection(settings.listen, settings.port(service), timeout=10)
        try:
            connection.request(method, path, json.dumps({"payloads": []}) if method == "POST" else None, headers)
            return connection.getresponse().status < 400
        finally:
            connection.close()

    return admits


def _sockets(cloud: list[psutil.Process]) -> set[str]:
    """Paths of the UNIX sockets that the cloud's processes listen on, as the machine sees them."""
    paths = set()
    for process in cloud:
        inodes = {str(fd.readlink()) for fd in _descriptors(process) if fd.is_symlink()}
        if not inodes:
            continue
        for line in Path(f"/proc/{process.pid}/net/unix").read_text().splitlines()[1:]:
            fields = line.split()
            if len(fields) <= 7 or f"socket:[{fields[6]}]" not in inodes:
                continue
            if fields[7].startswith("/"):
                paths.add(f"/proc/{process.pid}/root{fields[7]}")
            paths.add(fields[7].replace("@", "\0"))  # an abstract name is shown with @
    return paths


def _descriptors(process: psutil.Process) -> list[Path]:
    """None of a process that has ended meanwhile."""
    try:
        return [fd for fd in Path(f"/proc/{process.pid}/fd").iterdir() if fd.is_symlink()]
    except FileNotFoundError:
        return []


def _secret(path: Path) -> bool:
    """Everything but what is there for people to see, and libvirt's configuration."""
    return path.parts[0] not in ("tls",) and "libvirt" not in path.parts


def _reads(path: Path) -> Callable[[], bool]:
    def reads() -> bool:
        with path.open("rb") as file:
            file.read(1)
        return True

    return reads


def _tells(path: Path, secrets: set[bytes]) -> Callable[[], bool]:
    """A command line is open to all: the door is what stands in it."""
    return lambda: any(secret in path.read_bytes() for secret in secrets)


def _makes(path: Path) -> bool:
    path.write_text("x")
    return True


def _listens(address: str, port: int) -> bool:
    with socket.create_connection((address, port), timeout=2):
        return True


def _connects(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as peer:
        peer.settimeout(2)
        peer.connect(path)
        return True


def _enters(netns: str) -> bool:
    with entered(netns):
        return True


def become_nobody() -> None:
    """For good: no way back to root from here."""
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)


def attempt(door: Door) -> bool:
    try:
        return door.opens()
    except (OSError, http.client.HTTPException):
        return False


def main(state_dir: Path, *, as_root: bool = False) -> int:
    """`as_root` goes through the doors that are there for root, and makes nothing: what shows that they are doors."""
    os.environ |= {name: value for name, value in Plan.load(state_dir).env.items() if name.startswith("KILONOVA_")}
    found = list(doors(Settings(state_dir=state_dir)))
    if as_root:
        found = [door for door in found if not door.name.startswith("making")]
    else:
        become_nobody()
    opened = 0
    for door in found:
        came_in = attempt(door)
        opened += came_in
        print(f"{'OPEN' if came_in else 'shut'}  {door.name}")
    print(f"{len(found)} doors tried as uid {os.geteuid()}, {opened} open")
    return 1 if opened else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).absolute(), as_root="--as-root" in sys.argv))
