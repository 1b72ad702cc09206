"""The Placement API, read-only, over the compute service's own records (microversions 1.0 to 1.39)."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from api.common.application import create_app
from api.common.policy import Policy
from api.placement.errors import render
from api.placement.microversion import Microversions, told_at_the_edge
from api.placement.policy import RULES
from api.placement.routes import candidates, consumers, names, providers, read_only, root
from infra.database import Database
from infra.settings import Settings

ROUTERS = (root.router, providers.router, consumers.router, names.router, candidates.router, read_only.router)


def create(settings: Settings) -> FastAPI:
    """The application; its lifespan brings the compute service's store up to date, whichever of the two comes first."""

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        app.state.database.migrate()
        yield
        app.state.database.engine.dispose()

    app = create_app("placement", settings, render, life)
    app.state.database = Database("compute", state_dir=settings.state_dir)
    app.state.policy = Policy("placement", RULES, settings.state_dir)
    app.state.versions_told = told_at_the_edge
    app.user_middleware.append(Middleware(Microversions))
    for router in ROUTERS:
        app.include_router(router)
    return app
