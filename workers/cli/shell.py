"""`kilonova openrc` and `kilonova exec`: signing in, and running a command where guests can be reached."""

import os
import sys

from infra.settings import Settings
from workers.cli.places import NoSuchPlace, Place, find

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
    """`command` as run in the provider network's namespace; as it is where there is none."""
    return _entering(find(settings), command)


def _entering(place: Place, command: list[str]) -> list[str]:
    return ["nsenter", f"--net=/run/netns/{place.namespace}", "--", *command] if place.namespace else command


def run_inside(arguments: list[str], network: str = "", *, bridges: bool = False) -> int:
    """Replace this process by the command, after a line about where it runs; only returns when that fails (126, 127 as
    shells do; 1 when there is no such network; 2 without a command)."""
    command = arguments[1:] if arguments[:1] == ["--"] else arguments
    if not command:
        print("kilonova exec: no command; kilonova exec -- COMMAND ARGUMENTS", file=sys.stderr)
        return 2
    try:
        place = find(Settings(), network, bridges=bridges)
    except NoSuchPlace as error:
        print(f"kilonova exec: {error}", file=sys.stderr)
        return 1
    if place.namespace and not os.path.exists(f"/run/netns/{place.namespace}"):  # noqa: PTH110
        print("kilonova exec: the cloud is down; `kilonova up` starts it", file=sys.stderr)
        return 1
    if place.namespace:
        print(f"kilonova exec: network {place.label}, namespace {place.namespace}", file=sys.stderr)
    full = _entering(place, command)
    try:
        os.execvp(full[0], full)  # noqa: S606
    except FileNotFoundError:
        print(f"kilonova exec: {full[0]}: not found", file=sys.stderr)
        return 127
    except PermissionError:
        print(f"kilonova exec: {full[0]}: permission denied", file=sys.stderr)
        return 126
