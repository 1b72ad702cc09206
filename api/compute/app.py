"""The compute service's application (Nova API v2.1, microversions 2.1 to 2.104)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from api.common.application import create_app
from api.common.policy import Policy
from api.compute import versions
from api.compute.contract import Operations
from api.compute.errors import render
from api.compute.floating import FloatingAddresses
from api.compute.neighbours import Neighbours
from api.compute.own import OwnNetwork
from api.compute.policy import RULES
from api.compute.routes import (
    aggregates,
    attachments,
    consoles,
    create_server,
    extensions,
    external_events,
    flavor_parts,
    flavors,
    gone,
    group_proxy,
    guest_metadata,
    guests,
    hypervisors,
    image_proxy,
    instance_actions,
    interfaces,
    internal,
    keypairs,
    migrations,
    network_proxy,
    not_built,
    quotas,
    server_actions,
    server_groups,
    server_parts,
    servers,
    services,
    shares,
    usage,
    volume_attachments,
    zones,
)
from infra.codec import KeyRing
from infra.database import Database
from infra.settings import Settings

ROUTERS: tuple[APIRouter, ...] = (
    internal.router,
    guest_metadata.router,
    guests.router,
    servers.router,
    create_server.router,
    server_actions.router,
    server_parts.router,
    instance_actions.router,
    interfaces.router,
    attachments.router,
    volume_attachments.router,
    consoles.router,
    flavors.router,
    flavor_parts.router,
    keypairs.router,
    hypervisors.router,
    services.router,
    zones.router,
    server_groups.router,
    shares.router,
    aggregates.router,
    quotas.router,
    usage.router,
    extensions.router,
    external_events.router,
    migrations.router,
    image_proxy.router,
    network_proxy.router,
    group_proxy.router,
    gone.router,
    not_built.router,
)


def create_compute(settings: Settings, operations: Operations | None = None) -> FastAPI:
    """As `create`; with `operations` given, no connection to Temporal is made."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.database.migrate()
        app.state.operations = operations or await _connect(settings, app.state.database)
        yield

    app = create_app("compute", settings, render, life)
    app.state.database = Database("compute", state_dir=settings.state_dir)
    app.state.policy = Policy("compute", RULES, settings.state_dir)
    app.state.neighbours = Neighbours()
    app.state.floating = FloatingAddresses(settings)
    app.state.network = OwnNetwork(settings)
    app.state.ring = KeyRing.load(settings.codec_keys)
    app.state.versions_told = versions.told_at_the_edge
    app.user_middleware.append(Middleware(versions.Microversions))
    app.include_router(versions.router)
    for router in ROUTERS:
        app.include_router(router, prefix="/v2.1")
    return app


def create(settings: Settings) -> FastAPI:
    """The application; its lifespan migrates and opens the store and connects to Temporal."""
    return create_compute(settings)


async def _connect(settings: Settings, database: Database) -> Operations:
    from api.compute.operations import Operations as Workflows

    connected: Operations = await Workflows.connect(settings, database)
    return connected
