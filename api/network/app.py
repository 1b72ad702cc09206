"""The network service's application: Neutron v2.0 over a store of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio.to_thread
from fastapi import FastAPI

from api.common.application import create_app
from api.common.policy import Policy
from api.common.telling import Compute
from api.network.errors import render
from api.network.policy import DEFAULTS
from api.network.routes import (
    agents,
    auto_topology,
    extensions,
    ip_availability,
    kilonova,
    lists,
    port_forwardings,
    qos,
    quotas,
    resources,
    routers,
    service_providers,
    tags,
    trunks,
    versions,
)
from api.network.store import Store
from api.network.telling import Telling
from infra.database import Database, DatabaseSettings
from infra.settings import Settings

ROUTERS = (
    versions.router,
    extensions.router,
    routers.router,
    trunks.router,
    lists.router,
    port_forwardings.router,
    qos.router,
    agents.router,
    service_providers.router,
    ip_availability.router,
    *resources.ROUTERS_OF_RESOURCES,
    quotas.router,
    kilonova.router,
    auto_topology.router,
    tags.router,
)


def _url(settings: Settings) -> str | None:
    given = DatabaseSettings().database_url
    return None if given else f"sqlite:///{settings.state_dir / 'db' / 'network.sqlite'}"


def create(settings: Settings) -> FastAPI:
    """Application that listens on `settings.port("network")`; it migrates and opens its store when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        database = Database("network", _url(settings))
        await anyio.to_thread.run_sync(database.wait_ready)
        await anyio.to_thread.run_sync(database.migrate)
        app.state.store = Store(database, Telling(Compute(settings)).tell if settings.network_events else None)
        yield
        database.engine.dispose()

    policy = Policy("network", DEFAULTS, settings.state_dir)
    app = create_app("network", settings, render, lifespan, {"policy": policy, "rules": frozenset(DEFAULTS)})
    app.state.settings = settings
    for router in ROUTERS:
        app.include_router(router)
    return app
