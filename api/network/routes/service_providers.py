"""Who provides a network service: routers are on one host each, and there is no other kind to choose."""

from typing import Any

from fastapi import APIRouter

from api.network.ask import Ask
from api.network.model.small_lists import chosen
from api.network.routes.answers import json

router = APIRouter(prefix="/v2.0")
PROVIDERS: tuple[dict[str, Any], ...] = ({"service_type": "L3_ROUTER_NAT", "name": "single_node", "default": True},)
"""Neutron's name for routers that are neither distributed nor highly available."""


@router.get("/service-providers")
def list_service_providers(ask: Ask) -> Any:
    """The provider of routers."""
    return json({"service_providers": chosen(ask, PROVIDERS, "service_type", "name", "default")})
