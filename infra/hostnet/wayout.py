"""The way out of a cloud on one machine: the provider network's namespace reaches the world through two processes.

slirp4netns, sandboxed, ends TCP and UDP of the guests in sockets of the machine; `echo` carries pings.
Neither touches an interface, a route or a rule of the machine: all there is goes with the namespace."""

import contextlib
import shutil
import sys
from pathlib import Path

from infra import logs
from infra.hostnet import links, netns, procs
from infra.hostnet.echo import DEVICE as ECHO
from infra.hostnet.netns import HostNetworkError
from infra.hostnet.spaces import INSIDE
from infra.hostnet.tables import Chain, Set

log = logs.get("hostnet")
DEVICE = "out0"
CIDR, RESOLVER = "169.254.254.0/24", "169.254.254.3"
"""Link-local, since no subnet of a network can be; slirp4netns answers names on .3 as the machine would."""
NEVER = ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4")
SYSCTLS = {"ipv4/ip_forward": "1"}
PING_RULES = ("pref 100 lookup main suppress_prefixlength 0", f"pref 101 iif {INSIDE} ipproto 1 lookup 188")
"""By number: a machine without /etc/protocols knows no ICMP by its name."""


def rules() -> tuple[dict[str, Set], dict[str, Chain]]:
    """Sets and chains that the namespace has besides its own: what may pass, and as whom."""
    own = {a.partition("/")[0] for link in links.snapshot("").values() for a in link.addresses if ":" not in a}
    barred = Set("ipv4_addr", frozenset({*NEVER, *(a for a in own if not a.startswith("127."))}), interval=True)
    chains = {
        "outward": Chain(("ip daddr @barred drop", "meta nfproto ipv4 accept", "drop")),
        "on_forward": Chain(
            (
                f'iifname "{INSIDE}" oifname {{ "{DEVICE}", "{ECHO}" }} jump outward',
                f'iifname "{DEVICE}" ct state established,related accept',
                f'iifname "{ECHO}" icmp type {{ echo-reply, destination-unreachable, time-exceeded }} accept',
            ),
            "type filter hook forward priority 0; policy drop;",
        ),
        "out": Chain((f'oifname "{DEVICE}" masquerade',), "type nat hook postrouting priority 100;"),
    }
    return {"barred": barred}, chains


class WayOut:
    """The two processes of one namespace. Callers hold the lock of the network's bridge."""

    def __init__(self, space: str, log_dir: Path) -> None:
        self._space, self._log = space, log_dir / f"{space}.out.log"
        self._path = str(netns.path(space))

    def _slirp(self) -> list[int]:
        return [p for p, words in procs.commands() if words[0].endswith("slirp4netns") and self._path in words]

    def _echo(self) -> list[int]:
        return [p for p, words in procs.commands() if "infra.hostnet.echo" in words and self._space in words]

    def is_right(self) -> bool:
        return len(self._slirp()) == 1 and len(self._echo()) == 1

    def converge(self) -> None:
        """Start what does not run; a machine without slirp4netns has no way out, which is logged and no failure."""
        if not shutil.which("slirp4netns"):
            log.warning("no way out: slirp4netns is not installed")
            return
        if not self._slirp():
            self._start_slirp()
        if not self._echo():
            self._start_echo()

    def _start_slirp(self) -> None:
        with contextlib.suppress(HostNetworkError):
            links.delete(self._space, DEVICE)
        flags = ["--configure", "--mtu=65520", f"--cidr={CIDR}", "--disable-host-loopback"]
        flags += [
            "--enable-sandbox",
            "--enable-seccomp",
            f"--ready-fd={procs.READY}",
            "--netns-type=path",
            self._path,
            DEVICE,
        ]
        # A mount namespace of its own, or the sandbox's unmounting reaches /run/netns of the machine.
        self._start(["unshare", "--mount", "--propagation", "private", "slirp4netns", *flags])

    def _start_echo(self) -> None:
        have = netns.run(self._space, ["ip", "rule", "show"])
        if "lookup 188" not in have:
            links.apply(self._space, [f"rule add {rule}" for rule in PING_RULES])
        command = [sys.executable, "-m", "infra.hostnet.echo", "--netns", self._space, f"--ready-fd={procs.READY}"]
        self._start(command)

    def _start(self, command: list[str]) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        procs.detach(command, self._log)

    def stop(self) -> None:
        for pid in [*self._slirp(), *self._echo()]:
            procs.end(pid)
        self._log.unlink(missing_ok=True)
