"""`kilonova openrc` and `kilonova exec`: signing in, and running a command where guests can be reached."""

import os
import sys

from infra.settings import Settings
from workers.layout import Layout

USERS = ("admin", "demo")


def openrc(who: str) -> int:
    """Print STATE/<who>-openrc. Exit status 1 before the first `up`, 2 for an unknown user."""
    if who not in USERS:
        print(f"kilonova openrc: {who}? One of: {', '.join(USERS)}", file=sys.stderr)
        return 2
    file = Settings().state_dir / f"{who}-openrc"
    try:
        print(file.read_text(), end="")
    except FileNotFoundError:
        print(f"kilonova openrc: no {file}; `kilonova up` writes it", file=sys.stderr)
        return 1
    except PermissionError:
        print(f"kilonova openrc: {file} may only be read by its owner; use sudo", file=sys.stderr)
        return 1
    return 0


def inside(settings: Settings, command: list[str]) -> list[str]:
    """`command` as run in the guests' network namespace; as it is where there is none."""
    layout = Layout.load(settings.state_dir)
    netns = settings.netns or (layout.netns if layout else "")
    return ["nsenter", f"--net=/run/netns/{netns}", "--", *command] if netns else command


def run_inside(arguments: list[str]) -> int:
    """Replace this process by the command; only returns when that fails (126, 127 as shells do)."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        print("kilonova exec: no command; kilonova exec -- COMMAND ARGUMENTS", file=sys.stderr)
        return 2
    settings = Settings()
    full = inside(settings, command)
    namespace = full[1].partition("=")[2] if full is not command else ""
    if namespace and not os.path.exists(namespace):  # noqa: PTH110
        print("kilonova exec: the cloud is down; `kilonova up` starts it", file=sys.stderr)
        return 1
    try:
        os.execvp(full[0], full)  # noqa: S606
    except FileNotFoundError:
        print(f"kilonova exec: {full[0]}: not found", file=sys.stderr)
        return 127
    except PermissionError:
        print(f"kilonova exec: {full[0]}: permission denied", file=sys.stderr)
        return 126
