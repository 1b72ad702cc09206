"""Prints the API support table for the documentation: `python -m api.network.support`, from the routes themselves."""

import sys
from collections.abc import Iterator

from fastapi.routing import APIRoute

from api.network.app import ROUTERS
from api.network.model import quotas
from api.network.routes.extensions import EXTENSIONS
from api.network.routes.resources import RESOURCES

HEAD = """# What of the network API is built

Written by `python -m api.network.support`. The Networking API v2.0, as Neutron has it with the extensions below.
A route or an attribute that is not listed is answered as by a Neutron without its extension: 404 for the route, 400
for the attribute.

| method | path | |
| --- | --- | --- |
"""
ORDER = {name: number for number, name in enumerate(("GET", "POST", "PUT", "DELETE"))}


def routes() -> Iterator[tuple[str, str, str]]:
    """(method, path, what) of every route."""
    for router in ROUTERS:
        for route in router.routes:
            if isinstance(route, APIRoute):
                for method in sorted(route.methods or (), key=lambda name: ORDER[name]):
                    yield method, route.path, first_line(route.endpoint.__doc__)


def first_line(text: str | None) -> str:
    return " ".join((text or "").split("\n\n")[0].split())


def table() -> str:
    lines = [HEAD.rstrip("\n")]
    lines += [f"| {method} | `{path}` | {what} |" for method, path, what in routes()]
    lines += ["", "## Attributes that lists can be filtered by", "", "| collection | attributes | tags |"]
    lines += ["| --- | --- | --- |"]
    for one in RESOURCES:
        names = sorted({*one.kind.filters, *(("shared",) if one.kind.shareable else ())})
        lines.append(f"| `{one.path}` | {', '.join(f'`{name}`' for name in names)} | {'yes' if one.tagged else ''} |")
    lines += ["", "## Extensions", "", "| alias | what it is for |", "| --- | --- |"]
    lines += [f"| `{alias}` | {what} |" for alias, (_, what) in EXTENSIONS.items()]
    lines += ["", "## Quotas", "", "| resource | default (-1: none) |", "| --- | --- |"]
    lines += [f"| `{name}` | {limit} |" for name, limit in quotas.DEFAULTS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())
