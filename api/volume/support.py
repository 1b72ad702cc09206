"""Prints the volume API's support table for the documentation: `python -m api.volume.support`, from the routes."""

import re
import sys
from collections.abc import Iterator
from typing import Any

from fastapi.routing import APIRoute

from api.volume import legacy, volume_actions
from api.volume.app import MODULES
from api.volume.microversion import MAXIMUM, Version, text
from api.volume.unsupported import router as unsupported

HEAD = """# What of the volume API is built

Written by `python -m api.volume.support`. Microversions 3.0 to {last} of Cinder's API v3, which {empty} resources have
only empty lists of. What is not built answers 501; a route that is not listed answers 404, an action that is not listed
400. Each answer is checked, field by field and version by version, against Cinder's API reference in every test of the
service (`tests/volume/contract.py`, `tests/volume/routes.py`).

| method | path | since | |
| --- | --- | --- | --- |
"""
USUAL = {
    "index": "List.",
    "detail": "List in detail.",
    "show": "Show one.",
    "create": "Make one.",
    "update": "Change one.",
    "change": "Change one.",
    "put": "Set one.",
    "delete": "Delete one.",
    "act": "An action on one.",
    "who": "List the projects that may use a private one.",
}
MADE = ("os-show_image_metadata", "os-force_delete")


def routes() -> Iterator[tuple[str, str, str, str]]:
    """(methods, path, first microversion, what) of every route."""
    for module in MODULES:
        for route in _flat(module.router):
            built = module.router is not unsupported and route.endpoint.__qualname__ != "add.<locals>.change"
            what = _words(route) if built else "not built"
            yield ", ".join(sorted(route.methods or ())), f"/v3{route.path}", _since(route, module.router), what


def _flat(router: Any) -> list[APIRoute]:
    return [route for route in router.routes if isinstance(route, APIRoute)]


def _since(route: APIRoute, router: Any) -> str:
    gates: list[Version] = [
        gate.dependency.version
        for gate in [*router.dependencies, *route.dependencies]
        if hasattr(gate.dependency, "version")
    ]
    return text(max(gates)) if gates else "3.0"


def _words(route: APIRoute) -> str:
    """The handler's first sentence, or what its name says."""
    told = " ".join((route.endpoint.__doc__ or "").split("\n\n")[0].split())
    return told or USUAL.get(route.name) or re.sub(r"[_-]", " ", route.name).capitalize() + "."


def actions() -> Iterator[tuple[str, str, str]]:
    """(action, first microversion, whether it is built) of every action on a volume."""
    found: dict[str, Version] = dict.fromkeys((*volume_actions.CHANGES, *legacy.TABLE, *MADE), (3, 0))
    found |= {name: since for name, (_, since) in volume_actions.VERSIONED.items()}
    for name, since in sorted(found.items()):
        yield name, text(since), "built"
    for name, (_, since) in sorted(volume_actions.NOT_BUILT.items()):
        yield name, text(since), "not built"


def table() -> str:
    from api.volume.empty import NOTHING

    lines = [HEAD.format(last=text(MAXIMUM), empty=len(NOTHING)).rstrip("\n")]
    lines += [f"| {methods} | `{path}` | {since} | {what} |" for methods, path, since, what in routes()]
    lines += ["", "## Volume actions", "", "`POST /v3/volumes/{volume_id}/action`", ""]
    lines += ["| action | since | |", "| --- | --- | --- |"]
    lines += [f"| `{name}` | {since} | {built} |" for name, since, built in actions()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
