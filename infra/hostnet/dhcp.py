"""One dnsmasq per network: reservations by MAC address, options by port, names of the network's own ports."""

import contextlib
import grp
import hashlib
import ipaddress
import os
import pwd
import re
import select
import shutil
import signal
import socket
from pathlib import Path

from infra.hostnet import netns
from infra.hostnet.models import FixedIp, PortPlug, is_v4
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.store import Store, write_atomic

LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
KEYWORD = re.compile(r"ignore|infinite|\d+[smhdw]?")  # words of a reservation that are not names
LEASE_S = 86400
NO_NAMES, IN_USE = "no-names", "Address already in use"
FILES = ("dnsmasq.conf", "hosts", "options", "names")


def served_address(port: PortPlug) -> FixedIp | None:
    """The address that DHCP gives the port: its first IPv4 one on a subnet with DHCP and a gateway (that is us)."""
    return next((f for f in port.fixed_ips if is_v4(f.ip_address) and f.enable_dhcp and f.gateway_ip), None)


def _account() -> tuple[str, str, int]:
    """User, group and group id that dnsmasq falls back to, since it reads what guests send."""
    for name in ("dnsmasq", "nobody"):
        with contextlib.suppress(KeyError):
            gid = pwd.getpwnam(name).pw_gid
            return name, grp.getgrgid(gid).gr_name, gid
    return "root", "root", 0


def processes(run: Path) -> dict[str, int]:
    """Network id → process id of every dnsmasq that runs on a configuration below `run`."""
    found = {}
    marker = f"{run}/dhcp/"
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                command = (entry / "cmdline").read_bytes().decode(errors="replace")
                if marker in command and "dnsmasq" in command.split("\0", 1)[0]:
                    found[command.split(marker, 1)[1].split("/", 1)[0]] = int(entry.name)
    return found


def _end(pid: int) -> None:
    """End a process that is not our child, and wait until it is gone."""
    with contextlib.suppress(ProcessLookupError):
        fd = os.pidfd_open(pid)
        try:
            for number in (signal.SIGTERM, signal.SIGKILL):
                signal.pidfd_send_signal(fd, number)
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                if poll.poll(3000):
                    return
        finally:
            os.close(fd)


def _options(port: PortPlug, fixed: FixedIp, names: bool) -> list[str]:
    tag, gateway = f"tag:{fixed.subnet_id}", fixed.gateway_ip or ""
    servers = [s for s in fixed.dns_nameservers if is_v4(s)] or ([gateway] if names else [])
    lines = [f"{tag},option:router,{gateway}", f"{tag},26,{port.mtu}"]
    if servers:
        lines.append(f"{tag},option:dns-server,{','.join(servers)}")
    routes = [f"{r.destination},{r.nexthop}" for r in fixed.host_routes if is_v4(r.destination) and is_v4(r.nexthop)]
    if routes:  # clients that take option 121 ignore the router option (RFC 3442)
        classless = ",".join([*routes, f"0.0.0.0/0,{gateway}"])
        lines += [f"{tag},121,{classless}", f"{tag},249,{classless}"]
    return lines


def _name(port: PortPlug) -> str:
    """The port's host name, '' when it is no DNS label or would mean something else in a reservation."""
    name = port.hostname.lower()
    return name if LABEL.fullmatch(name) and not KEYWORD.fullmatch(name) else ""


class DhcpServer:
    """The dnsmasq of one network. Callers hold the lock of the network's bridge."""

    def __init__(self, store: Store, network_id: str, bridge: str) -> None:
        self._store = store
        self._bridge = bridge
        self._network_id = network_id
        self._dir = store.run / "dhcp" / network_id

    def _conf(self, ports: list[PortPlug]) -> str:
        user, group, _ = _account()
        subnets = {f.subnet_id: ipaddress.IPv4Network(f.cidr) for f in map(served_address, ports) if f}
        ranges = [f"set:{name},{net.network_address},static,{net.netmask}" for name, net in sorted(subnets.items())]
        return "\n".join(
            [
                *([] if self._answers_names() else ["port=0"]),
                f"interface={self._bridge}\nexcept-interface=lo\nbind-dynamic\nno-resolv\nno-hosts\nlocal=//",
                f"user={user}\ngroup={group}\npid-file={self._dir}/pid\nlog-facility={self._dir}/log\nquiet-dhcp",
                *(f"dhcp-range={text},{LEASE_S}s" for text in ranges),
                f"dhcp-hostsfile={self._dir}/hosts\ndhcp-optsfile={self._dir}/options\naddn-hosts={self._dir}/names",
                f"dhcp-leasefile={self._dir}/leases\ndhcp-lease-max=65536",
                "dhcp-ignore=tag:!known\ndhcp-ignore-names\ndhcp-authoritative\nno-ping\n",
            ]
        )

    def _contents(self, ports: list[PortPlug]) -> list[str]:
        served = [(port, fixed) for port in ports if (fixed := served_address(port))]
        # No tags in reservations: dnsmasq 2.86 to 2.90 crash when they are read again after a lease was given.
        hosts = [f"# {p.port_id}\n{','.join(filter(None, (p.mac_address, f.ip_address, _name(p))))}" for p, f in served]
        subnets = {f.subnet_id: (p, f) for p, f in served}
        options = [line for _, (p, f) in sorted(subnets.items()) for line in _options(p, f, self._answers_names())]
        names = [f"{f.ip_address} {_name(p)}" for p, f in served if _name(p)]
        return [self._conf(ports), *("".join(f"{line}\n" for line in lines) for lines in (hosts, options, names))]

    def _answers_names(self) -> bool:
        return not (self._dir / NO_NAMES).exists()

    def pid(self) -> int | None:
        with contextlib.suppress(OSError, ValueError):
            pid = int((self._dir / "pid").read_text())
            if f"{self._dir}/" in Path(f"/proc/{pid}/cmdline").read_text():
                return pid
        return processes(self._store.run).get(self._network_id)

    def _digests(self, contents: list[str]) -> list[str]:
        """Of what a restart is needed for, the bridge that dnsmasq is bound to included, and of what it reads again."""
        with contextlib.suppress(OSError):
            index = netns.call(self._store.netns, lambda: socket.if_nametoindex(self._bridge))
            contents = [f"{index}\n{contents[0]}", *contents[1:]]
        return [hashlib.sha256(text.encode()).hexdigest() for text in (contents[0], "\0".join(contents[1:]))]

    def is_right(self, ports: list[PortPlug]) -> bool:
        """Whether dnsmasq runs, or does not, and what it has read is what `ports` need."""
        pid = self.pid()
        if not any(map(served_address, ports)):
            return pid is None
        return pid is not None and self._applied() == [str(pid), *self._digests(self._contents(ports))]

    def _applied(self) -> list[str]:
        with contextlib.suppress(FileNotFoundError):
            return (self._dir / "applied").read_text().split()
        return []

    def converge(self, ports: list[PortPlug]) -> None:
        """Make dnsmasq serve exactly `ports` (none: end it). HostNetworkError when it cannot be started."""
        if not any(map(served_address, ports)):
            self.stop()
            return
        contents = self._contents(ports)
        self._write(contents)
        digests = self._digests(contents)
        pid = self.pid()
        was = [*self._applied(), "", "", ""]
        if pid is None or was[1] != digests[0] or self._has_stale_leases(ports):
            pid = self._restart(pid, ports)
            digests = self._digests(self._contents(ports))
        elif was[:3] != [str(pid), *digests]:
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

    @staticmethod
    def _is_current(lease: str, ports: list[PortPlug]) -> bool:
        fields = lease.split()  # expiry, MAC address, IP address, name, client id
        pairs = {(p.mac_address, f.ip_address) for p in ports if (f := served_address(p))}
        return len(fields) > 2 and (fields[1].lower(), fields[2]) in pairs

    def _has_stale_leases(self, ports: list[PortPlug]) -> bool:
        return not all(self._is_current(lease, ports) for lease in self._leases())

    def _restart(self, pid: int | None, ports: list[PortPlug]) -> int | None:
        # dnsmasq refuses a reserved address that another MAC address still leases, and reads leases at its start only.
        if pid is not None:
            _end(pid)
        current = [lease for lease in self._leases() if self._is_current(lease, ports)]
        (self._dir / "leases").write_text("".join(f"{lease}\n" for lease in current))
        command = ["dnsmasq", f"--conf-file={self._dir}/dnsmasq.conf"]
        try:
            netns.run(self._store.netns, command)
        except HostNetworkError as error:
            if IN_USE not in str(error) or not self._answers_names():
                raise
            # Another network here has the same gateway address: DHCP is bound to the bridge, DNS cannot be.
            (self._dir / NO_NAMES).touch()
            self._write(self._contents(ports))
            netns.run(self._store.netns, command)
        return self.pid()

    def stop(self) -> None:
        """End dnsmasq and remove its files; absent is success."""
        pid = self.pid()
        if pid is not None:
            _end(pid)
        shutil.rmtree(self._dir, ignore_errors=True)

    def reservations(self) -> list[str]:
        """Ids of the ports that the files reserve an address for."""
        with contextlib.suppress(FileNotFoundError):
            lines = (self._dir / "hosts").read_text().splitlines()
            return [line.removeprefix("# ") for line in lines if line.startswith("#")]
        return []
