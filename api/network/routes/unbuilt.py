"""Routes of what this service has none of: their lists are empty, making one answers 501."""

from typing import Any

from fastapi import APIRouter

from api.common.errors import ServiceError
from api.network.ask import Ask
from api.network.errors import conflict, not_built

router = APIRouter(prefix="/v2.0")
WRITES = ["POST", "PUT", "DELETE"]


@router.get("/routers")
async def list_routers(_ask: Ask) -> Any:
    """There are no routers, which is what clients that look for floating addresses need to know."""
    return {"routers": []}


@router.get("/routers/{router_id}")
async def show_router(_ask: Ask, router_id: str) -> Any:
    raise ServiceError(404, f"Router {router_id} could not be found", title="RouterNotFound")


@router.api_route("/routers", methods=["POST"])
@router.api_route("/routers/{path:path}", methods=WRITES)
async def change_router(_ask: Ask, path: str = "") -> Any:
    raise not_built("routers")


@router.get("/floatingips")
async def list_floating_ips(_ask: Ask) -> Any:
    return {"floatingips": []}


@router.get("/floatingips/{address_id}")
async def show_floating_ip(_ask: Ask, address_id: str) -> Any:
    raise ServiceError(404, f"Floating IP {address_id} could not be found", title="FloatingIPNotFound")


@router.api_route("/floatingips", methods=["POST"])
@router.api_route("/floatingips/{path:path}", methods=WRITES)
async def change_floating_ip(_ask: Ask, path: str = "") -> Any:
    raise not_built("floating addresses")


@router.get("/agents")
async def list_agents(ask: Ask) -> Any:
    """Compute hosts filter and serve DHCP themselves: no agent reports here."""
    ask.enforce("get_agent", ask.project_id)
    return {"agents": []}


@router.get("/agents/{agent_id}")
async def show_agent(ask: Ask, agent_id: str) -> Any:
    ask.enforce("get_agent", ask.project_id)
    raise ServiceError(404, f"Agent {agent_id} could not be found.", title="AgentNotFound")


@router.get("/availability_zones")
async def list_availability_zones(_ask: Ask) -> Any:
    return {"availability_zones": []}


@router.get("/auto-allocated-topology/{project_id}")
async def show_auto_topology(_ask: Ask, project_id: str) -> Any:
    """No network is made by itself. Source: Networking API v2.0, auto-allocated topologies."""
    raise conflict("AutoAllocationFailure", "Deployment error: No default router:external network.")
