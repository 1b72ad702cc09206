"""Who provides a network service: routers are on one host each, and there is no other kind to choose."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask
from api.network.errors import bad
from api.network.model.kinds import truth
from api.network.routes.agents import CONTROLS
from api.network.routes.answers import json

router = APIRouter(prefix="/v2.0")
PROVIDERS: tuple[dict[str, Any], ...] = ({"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": True},)
"""Neutron's name for routers that are neither distributed nor highly available."""


@router.get("/service-providers")
def list_service_providers(ask: Ask) -> Any:
    """The provider of routers."""
    query = ask.request.query_params
    fields = query.getlist("fields")
    found = [one for one in PROVIDERS if all(_matches(one, name, query.getlist(name)) for name in query)]
    shown = [{name: value for name, value in one.items() if not fields or name in fields} for one in found]
    return json({"service_providers": shown})


def _matches(provider: dict[str, Any], name: str, values: list[str]) -> bool:
    if name in CONTROLS:
        return True
    if name not in provider:
        raise bad(f"['{name}'] is invalid attribute for filtering")
    return provider[name] in ([truth(name, value) for value in values] if name == "default" else values)
