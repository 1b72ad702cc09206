"""What has to exist before a cloud's processes start: keys, users, namespace, libvirt's directories, the plan."""

import os
import shutil
import socket

from rich.markup import escape

from infra.settings import Settings
from workers import confinement, horizon, libvirtd
from workers.cli.screen import out
from workers.layout import Layout, host_settings, temporal_netns
from workers.plan import Plan
from workers.process import Process
from workers.processes import build_plan, temporal_binary


class Refused(Exception):
    """The cloud cannot be started like this; the text says what to do."""


def everything(settings: Settings, layout: Layout) -> Plan:
    """Prepare all of it; may be repeated. Raises Refused."""
    plan = build_plan(settings, layout)
    _check_ports(settings, plan)
    if not settings.temporal_address and not os.access(temporal_binary(), os.X_OK):
        raise Refused("There is no `temporal`: install it, or name a server by KILONOVA_TEMPORAL_ADDRESS.")
    if shutil.which("libvirtd") is None:
        raise Refused(
            "There is no `libvirtd`: install Debian's libvirt-daemon, or what infra/packages/system.txt names."
        )
    _certificates(settings)
    layout.save(settings.state_dir)
    _keys_and_users(settings, layout.hosts)
    _temporal_namespace(settings)
    if layout.netns:
        _namespace(settings, layout)
    _confinement(settings, layout)
    for host in layout.hosts:
        libvirtd.prepare(settings, layout, host)
    if layout.horizon:
        _horizon(settings)
    plan.save()
    return plan


def differs(plan: Plan, settings: Settings, layout: Layout) -> bool:
    """True when the same settings would now give another plan than the one that runs."""
    fresh = build_plan(settings, layout)
    return fresh.specs_as_data() != plan.specs_as_data() or fresh.env != plan.env


def _certificates(settings: Settings) -> None:
    from infra import tls

    try:
        tls.prepare(settings)
    except (OSError, ValueError) as error:
        raise Refused(f"No certificates: {error}.") from error


def _keys_and_users(settings: Settings, hosts: list[str]) -> None:
    from infra.bootstrap import FormerState, bootstrap
    from infra.codec import KeyRing

    KeyRing.load(settings.codec_keys)  # made by one process, before several want it
    try:
        bootstrap(settings, hosts)
    except FormerState as error:
        raise Refused(str(error)) from error


def _confinement(settings: Settings, layout: Layout) -> None:
    """Of what reads guests' data; of guests themselves libvirtd's own configuration tells."""
    try:
        confinement.used(settings)
        refused = confinement.load_own(settings) if layout.driver == "qemu" else ""
    except confinement.NotConfined as error:
        raise Refused(str(error)) from None
    if refused:
        out.print(f"[yellow]qemu-img and the storage daemon run without AppArmor:[/] {escape(refused)}")


def _horizon(settings: Settings) -> None:
    from infra.horizon import config, environment

    if not environment.place().exists():
        out.print("Installing Horizon into an environment of its own.")
    try:
        made = environment.ensure()
    except (environment.HorizonUnavailable, OSError) as error:
        raise Refused(f"No Horizon: {escape(str(error))}") from error
    config.write(settings, made / "static", horizon.uid(settings))


def _temporal_namespace(settings: Settings) -> None:
    """Temporal's dev server admits whoever reaches it: only root reaches it in here."""
    from infra.hostnet import netns

    known = settings.run_dir / "temporal.netns"
    if settings.temporal_address:
        known.unlink(missing_ok=True)
        return
    name = temporal_netns(settings)
    _mark_mount(settings)
    try:
        netns.create(name)
        netns.run(name, ["ip", "link", "set", "lo", "up"])
    except netns.HostNetworkError as error:
        raise Refused(f"No network namespace for Temporal: {error}") from error
    known.write_text(name)


def _mark_mount(settings: Settings) -> None:
    from infra.hostnet.netns import NAMESPACES

    if not NAMESPACES.is_mount():
        (settings.run_dir / "netns-mount").touch()  # `ip netns add` will mount it; `down` takes that back


def _namespace(settings: Settings, layout: Layout) -> None:
    from infra.hostnet.netns import HostNetworkError
    from infra.hostnet.network import HostNetwork
    from workers.cli import fabric

    _mark_mount(settings)
    try:
        if layout.apart:
            fabric.lay(settings, layout)
        else:
            HostNetwork(host_settings(settings, layout, layout.hosts[0])).ensure_namespace()
    except HostNetworkError as error:
        raise Refused(f"No network for guests: {error}") from error


def _check_ports(settings: Settings, plan: Plan) -> None:
    """Refused when a port is taken by something that is not a process of this cloud."""
    for spec in plan.specs:
        if spec.name == "nbd-gate" and plan.env.get("KILONOVA_NETNS"):
            continue  # it listens in a namespace of our own
        taken = [port for port in spec.ports.values() if _taken(settings.listen, port)]
        if not taken:
            continue
        found = Process.find(spec.name, plan.place)
        if found is None:
            raise Refused(
                f"Port {taken[0]} ({spec.name}) is in use by another program. "
                "Stop it, or move all ports of this cloud by KILONOVA_PORT_OFFSET."
            )
        found.close()


def _taken(address: str, port: int) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, port))
        except OSError:
            return True
        return False


def hand_over(settings: Settings) -> None:
    """Let the person who typed `sudo` read the sign-in files that were made for him."""
    uid, gid = os.environ.get("SUDO_UID"), os.environ.get("SUDO_GID")
    if not uid or not gid:
        return
    for name in ("admin-openrc", "demo-openrc", "clouds.yaml", "demo_key", "demo_key.pub", "keys/codec-token"):
        file = settings.state_dir / name
        if file.exists():
            os.chown(file, int(uid), int(gid))
