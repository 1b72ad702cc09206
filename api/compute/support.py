"""Prints the API support table for the documentation: `python -m api.compute.support`, from the routes themselves."""

import sys
from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute

from api.compute import versions
from api.compute.app import ROUTERS
from api.compute.call import Versions
from api.compute.routes.not_built import not_built
from api.compute.routes.server_actions import AT_ONCE, get_spice_console
from api.compute.schemas.actions import NOT_BUILT
from infra.contracts.machine import PROPERTIES, SPECS
from workflows.actions import ACTIONS

HEAD = """# What of the compute API is built

Written by `python -m api.compute.support`. Microversions 2.{first} to 2.{last} of Nova's API v2.1. What is not built
answers 501; a route that is not listed answers 404, an action that is not listed 400. Which of the own tests of
python-openstackclient and openstacksdk do not pass, and why, is in [clients-results.md](clients-results.md), which
their run writes.

| method | path | microversions | |
| --- | --- | --- | --- |
"""

MACHINES = """
## Image properties and extra specs

What asks something of a guest's machine is obeyed, or refused with 400 at `POST /servers`, `rebuild` and `resize`:
a value that Nova does not know as invalid, one that no host here can give as "No valid host was found". Any other
`hw_*` property of Nova's, a `trait:*` that an image says is `required`, and any other extra spec in the namespaces
`hw`, `hw_rng`, `hw_video`, `quota`, `os`, `trait`, `resources`, `pci_passthrough`, `accel`, `capabilities` and
`aggregate_instance_extra_specs`, is refused unless it asks for nothing (`false`, `none`, `forbidden`, …). Properties of
other hypervisors (`vmware_*`, `xenapi_*`, …), unscoped extra specs and names that Nova does not know change nothing, as
in Nova.

| property or extra spec | obeyed | refused | what |
| --- | --- | --- | --- |
"""


NO_SPICE = "400, as of a Nova whose hosts have no SPICE"


def span(first: int, last: int | None) -> str:
    if last is None or last > versions.MAXIMUM:
        return "all" if first == versions.MINIMUM else f"from 2.{first}"
    return f"until 2.{last}" if first == versions.MINIMUM else f"2.{first} to 2.{last}"


def routes() -> Iterator[tuple[str, str, str, str]]:
    """(methods, path, microversions, what) of every route."""
    for router in (versions.router, *ROUTERS):
        for route in router.routes:
            if not isinstance(route, APIRoute):
                continue
            bounds: Any = next((d.dependency for d in route.dependencies if isinstance(d.dependency, Versions)), None)
            what = "not built" if route.endpoint is not_built else _first_line(route.endpoint)
            prefix = "" if router is versions.router else "/v2.1"
            shown = span(bounds.first, bounds.last) if bounds else "all"
            yield ", ".join(sorted(route.methods or ())), prefix + route.path, shown, what


def actions() -> Iterator[tuple[str, str, str]]:
    """(action, microversions, whether it is built) of every server action."""
    for row in (row for row in ACTIONS.values() if not row.route):
        yield row.name, span(row.since, row.until), f"a workflow, `{row.workflow.__name__}`"
    for name, (_rule, last, handler) in AT_ONCE.items():
        yield name, span(versions.MINIMUM, last), NO_SPICE if handler is get_spice_console else "built"
    for name, (first, last) in NOT_BUILT.items():
        yield name, span(first, last), "not built"


def table() -> str:
    lines = [HEAD.format(first=versions.MINIMUM, last=versions.MAXIMUM).rstrip("\n")]
    lines += [f"| {methods} | `{path}` | {shown} | {what} |" for methods, path, shown, what in routes()]
    lines += ["", "## Server actions", "", "`POST /v2.1/servers/{server_id}/action`", ""]
    lines += ["| action | microversions | |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {shown} | {built} |" for name, shown, built in actions()]
    lines += [MACHINES.rstrip("\n"), *machines()]
    return "\n".join(lines) + "\n"


def machines() -> Iterator[str]:
    """Image properties and extra specs, with the values that are obeyed, and those of Nova's that are refused."""
    for name, rule in sorted(PROPERTIES.items()) + sorted(SPECS.items()):
        good, known = (text.replace("|", ", ").replace("(?i:", "").rstrip(")") for text in (rule.good, rule.known))
        yield f"| `{name}` | {_values(good)} | {_values(known)} | {rule.what} |"


def _values(text: str) -> str:
    """A rule's regular expression for readers."""
    words = {"": "", ".*": "any", "[1-9][0-9]{0,4": "a number", "[1-9][0-9]{0,9": "a number"}
    if text in words:
        return words[text]
    if text.startswith("1, t, true"):
        return "a boolean"
    if text.startswith(("[", "-?[")):
        return "others" if "a-z" in text else "a number"
    return ", ".join("others" if part.startswith("[") else f"`{part}`" for part in text.split(", "))


def _first_line(endpoint: Any) -> str:
    return " ".join((endpoint.__doc__ or "").split("\n\n")[0].split())


if __name__ == "__main__":
    sys.stdout.write(table())
