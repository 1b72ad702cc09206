"""One dnsmasq per network: started, told of changes and ended."""

import contextlib
import grp
import hashlib
import os
import pwd
import shutil
import signal
import socket
from pathlib import Path
from typing import NamedTuple

from infra.hostnet import netns, procs
from infra.hostnet.served import Listening
from infra.hostnet.store import Store, write_atomic

FILES = ("dnsmasq.conf", "hosts", "options", "names")


def _account() -> tuple[str, str, int]:
    """User, group and group id that dnsmasq falls back to, since it reads what guests send."""
    for name in ("dnsmasq", "nobody"):
        with contextlib.suppress(KeyError):
            gid = pwd.getpwnam(name).pw_gid
            return name, grp.getgrgid(gid).gr_name, gid
    return "root", "root", 0


class Running(NamedTuple):
    """Every dnsmasq on a configuration below one directory, by its kind (dhcp, or ra of a router) and id: the process
    id of the one that serves, and those of what runs beside it."""

    serving: dict[tuple[str, str], int]
    doubled: dict[tuple[str, str], list[int]]


def running(run: Path) -> Running:
    """One look at all processes of the machine. A dnsmasq that is just starting is three processes for a moment, the
    first of which is of its starter's session."""
    found = _found(run)
    serving = {key: _serving(run, key, pids) for key, pids in found.items()}
    beside = {k: [p for p in pids if p != serving[k] and procs.is_daemon(p)] for k, pids in found.items()}
    return Running(serving, {key: pids for key, pids in beside.items() if pids})


def processes(run: Path, kind: str = "dhcp") -> dict[str, int]:
    """Network id (router id for `kind` ra) → process id of what serves it."""
    return {identifier: pid for (found, identifier), pid in running(run).serving.items() if found == kind}


def end_doubled(run: Path) -> None:
    for pids in running(run).doubled.values():
        for pid in pids:
            procs.end(pid)


def _found(run: Path) -> dict[tuple[str, str], list[int]]:
    found: dict[tuple[str, str], list[int]] = {}
    marker = f"--conf-file={run}/"
    for pid, words in procs.commands():
        if "dnsmasq" in words[0] and (ours := next((w for w in words if w.startswith(marker)), "")):
            kind, identifier, *_ = ours.removeprefix(marker).split("/")
            found.setdefault((kind, identifier), []).append(pid)
    return found


def _serving(run: Path, key: tuple[str, str], pids: list[int]) -> int:
    """The one that wrote the file with its process id."""
    with contextlib.suppress(OSError, ValueError):
        written = int((run / key[0] / key[1] / "pid").read_text())
        return written if written in pids else pids[0]
    return pids[0]


class Dnsmasq:
    """A dnsmasq in the namespace of a network (`kind` dhcp) or of a router (`kind` ra). Callers hold its lock."""

    def __init__(self, store: Store, identifier: str, kind: str = "dhcp") -> None:
        self._store, self._kind, self._identifier = store, kind, identifier
        self._space = store.space_name("net" if kind == "dhcp" else "router", identifier)
        self._dir = store.run / kind / identifier

    def _contents(self, served: Listening) -> list[str]:
        user, group, _ = _account()
        where = self._dir
        head = [
            f"user={user}\ngroup={group}\npid-file={where}/pid\nlog-facility={where}/log",
            f"dhcp-hostsfile={where}/hosts\ndhcp-optsfile={where}/options\naddn-hosts={where}/names",
            f"dhcp-leasefile={where}/leases",
        ]
        return ["\n".join([*head, *served.configuration()]) + "\n", served.hosts(), served.options(), served.names()]

    def pid(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            pid = int((self._dir / "pid").read_text())
            if f"{self._dir}/" in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        return processes(self._store.run, self._kind).get(self._identifier)

    def _digests(self, served: Listening) -> list[str]:
        """Of what needs a restart, the interfaces that dnsmasq is bound to included, and of what it reads again."""
        contents = self._contents(served)
        with contextlib.suppress(OSError):
            indexes = netns.call(self._space, lambda: [socket.if_nametoindex(name) for name in served.interfaces])
            contents[0] += f"# {indexes}"
        return [hashlib.sha256(text.encode()).hexdigest() for text in (contents[0], "\0".join(contents[1:]))]

    def is_right(self, served: Listening | None) -> bool:
        """Whether dnsmasq runs, or does not, and what it has read is what `served` needs."""
        pid = self.pid()
        if served is None:
            return pid is None
        right = pid is not None and self._applied() == [str(pid), *self._digests(served)]
        return right and self._is_written(served)

    def _is_written(self, served: Listening) -> bool:
        contents = self._contents(served)
        with contextlib.suppress(FileNotFoundError):
            return all((self._dir / name).read_text() == text for name, text in zip(FILES, contents, strict=True))
        return False

    def _applied(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self._dir / "applied").read_text().split()
        return []

    def converge(self, served: Listening | None) -> None:
        """Make dnsmasq serve exactly `served` (None: end it). HostNetworkError when it cannot be started."""
        if served is None:
            self.stop()
            return
        damaged = not self._is_written(served)
        self._write(self._contents(served))
        digests = self._digests(served)
        pid = self.pid()
        was = [*self._applied(), "", "", ""]
        if pid is None or was[1] != digests[0] or self._stale(served):
            pid = self._restart(pid, served)
            digests = self._digests(served)
        elif damaged or was[:3] != [str(pid), *digests]:
            os.kill(pid, signal.SIGHUP)
        write_atomic(self._dir / "applied", " ".join([str(pid), *digests]))

    def _write(self, contents: list[str]) -> None:
        group = _account()[2]
        if not self._dir.exists():
            self._dir.mkdir(parents=True)
            for parent in (self._dir.parent, self._store.run):
                parent.chmod(0o711)
            os.chown(self._dir, 0, group)
            self._dir.chmod(0o2750)  # files inherit the group
        for name, text in zip(FILES, contents, strict=True):
            write_atomic(self._dir / name, text, 0o640)

    def _leases(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self._dir / "leases").read_text().splitlines()
        return []

    def _stale(self, served: Listening) -> list[str]:
        """Leases of an address, by a MAC address that has none of it any more."""
        current = served.leases()
        return [
            line for line in self._leases() if len(fields := line.split()) > 2 and not current(fields[1], fields[2])
        ]

    def _restart(self, pid: int | None, served: Listening) -> int | None:
        # dnsmasq refuses a reserved address that another MAC address still leases, and reads leases at its start only.
        if pid is not None:
            procs.end(pid)
        stale = self._stale(served)
        kept = [lease for lease in self._leases() if lease not in stale]
        (self._dir / "leases").write_text("".join(f"{lease}\n" for lease in kept))
        netns.run(self._space, ["dnsmasq", f"--conf-file={self._dir}/dnsmasq.conf"])
        return self.pid()

    def stop(self) -> None:
        """End dnsmasq and remove its files; absent is success."""
        pid = self.pid()
        if pid is not None:
            procs.end(pid)
        shutil.rmtree(self._dir, ignore_errors=True)

    def reservations(self) -> list[str]:
        """Ids of the ports that the files reserve an address for."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self._dir / "hosts").read_text().splitlines()
            return [line.removeprefix("# ") for line in lines if line.startswith("#")]
        return []
