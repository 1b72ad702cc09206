"""`kilonova down`: ends the processes, removes what they left on the machine, and reports what did not go away."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path

from infra import volume_doors
from infra.host.cgroups import GuestGroups
from infra.host.files.paths import HostPaths
from infra.settings import Settings
from workers import confinement, libvirtd, procfs, supervisor
from workers.cli.screen import out
from workers.layout import Layout, host_settings, temporal_netns
from workers.plan import Plan, read_status
from workers.process import Process

PATIENCE_S = 75.0
TEMPORARY = ("*.pid", "*.sock", "*.qmp", "status.json", "plan.json", "*.new")


def stop_processes(settings: Settings) -> None:
    """End the supervisor, which ends the rest; without one, or when it hangs, end them ourselves."""
    try:
        plan = Plan.load(settings.state_dir)
    except FileNotFoundError:
        return
    pid = supervisor.running(settings.state_dir)
    if pid > 0:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        if not _follow(settings.state_dir, plan):
            out.print("[yellow]The supervisor does not end; ending it and its processes.[/]")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
    supervisor.stop_orphans(plan)


def _follow(state_dir: Path, plan: Plan) -> bool:
    """Show what is stopped until the supervisor is gone; False when it takes too long."""
    told: set[str] = set()
    end = time.monotonic() + PATIENCE_S
    while supervisor.running(state_dir):
        if time.monotonic() > end:
            return False
        units = read_status(state_dir).get("units", {})
        for spec in reversed(plan.specs):
            if units.get(spec.name, {}).get("state") == "stopped" and spec.name not in told:
                told.add(spec.name)
                if out.is_terminal:
                    out.print(f"[dim]{spec.name} stopped[/]")
        time.sleep(0.05)
    return True


def remove_host_state(settings: Settings) -> list[str]:
    """Guests that outlived libvirtd, namespace, sockets; returns what is left, in words."""
    layout = Layout.load(settings.state_dir)
    left: list[str] = []
    if layout and layout.netns and layout.netns_made:
        left += _remove_namespace(settings, layout)
    left += _delete_namespace(temporal_netns(settings))
    (settings.run_dir / "temporal.netns").unlink(missing_ok=True)
    _unmount_namespaces(settings)
    libvirtd.forget_run_dir(settings)
    if layout:
        for host in layout.hosts:
            HostPaths(host_settings(settings, layout, host)).forget_sockets()
            GuestGroups(host_settings(settings, layout, host)).remove()
    left += _remaining_processes(settings)
    if not left:
        volume_doors.forget(settings)
        confinement.unload_own()
    with contextlib.suppress(OSError):
        Path("/run/kilonova").rmdir()
    if not left:
        for pattern in TEMPORARY:
            for file in settings.run_dir.glob(pattern):
                file.unlink(missing_ok=True)
    return left


def _remove_namespace(settings: Settings, layout: Layout) -> list[str]:
    from infra.hostnet.netns import HostNetworkError
    from infra.hostnet.network import HostNetwork
    from infra.hostnet.store import Store

    namespace = Path("/run/netns") / layout.netns
    _kill(procfs.in_network_namespace(namespace))
    left = []
    for host in layout.hosts:
        own = host_settings(settings, layout, host)
        try:
            HostNetwork(own).teardown()
        except HostNetworkError as error:
            left.append(f"network of {host}: {error}")
        left += _delete_namespace(own.netns) if own.netns != layout.netns else []
    waiting = Store(host_settings(settings, layout, layout.hosts[0])).waiting
    return [*left, *_delete_namespace(waiting), *_delete_namespace(layout.netns)]


def _delete_namespace(name: str) -> list[str]:
    namespace = Path("/run/netns") / name
    if namespace.exists():
        _kill(procfs.in_network_namespace(namespace))
        subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)
    return [f"network namespace {name}"] if namespace.exists() else []


def _unmount_namespaces(settings: Settings) -> None:
    """Take back the mount that the first `ip netns add` made, unless somebody else's namespaces need it now."""
    mark, directory = settings.run_dir / "netns-mount", Path("/run/netns")
    if mark.exists() and directory.is_mount() and not any(directory.iterdir()):
        subprocess.run(["umount", str(directory)], check=False, capture_output=True)
    mark.unlink(missing_ok=True)


def _kill(pids: list[int]) -> None:
    """SIGKILL: what is left in the guests' namespace now has no owner any more."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + 5
    while any(procfs.alive(pid) for pid in pids) and time.monotonic() < end:
        time.sleep(0.02)


def _remaining_processes(settings: Settings) -> list[str]:
    try:
        plan = Plan.load(settings.state_dir)
    except FileNotFoundError:
        return []
    left = []
    for spec in plan.specs:
        if (found := Process.find(spec.name, plan.place)) is not None:
            left.append(f"process {found.pid} ({spec.name})")
            found.close()
    return left
