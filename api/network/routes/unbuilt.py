"""Routes of what this service has none of: their lists are empty, making one answers 501."""

from typing import Any

from fastapi import APIRouter

from api.common.errors import ServiceError
from api.network.ask import Ask
from api.network.errors import conflict

router = APIRouter(prefix="/v2.0")


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
