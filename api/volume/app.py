"""The embedded volume service: Cinder's v3 API over files that a storage daemon exports by NBD."""

from fastapi import FastAPI
from starlette.middleware import Middleware

from api.common.application import create_app
from api.volume import (
    about,
    attachments,
    default_types,
    empty,
    extra_specs,
    hosts,
    messages,
    metadata,
    quotas,
    snapshots,
    transfers,
    type_routes,
    unsupported,
    volume_actions,
    volumes,
)
from api.volume.errors import render
from api.volume.microversion import Microversions, told_at_the_edge
from api.volume.service import VolumeService, lifespan
from infra.settings import Settings

MODULES = (
    attachments,
    volumes,
    volume_actions,
    metadata,
    snapshots,
    transfers,
    quotas,
    type_routes,
    extra_specs,
    default_types,
    hosts,
    about,
    messages,
    empty,
    unsupported,
)
"""Where the routes are, in the order in which they are asked: those of every attachment of a server first."""


def create(settings: Settings) -> FastAPI:
    """The application; its store is migrated, and unfinished work resumed, when it starts."""
    app = create_app("volume", settings, render, lifespan, {"volume": VolumeService(settings)})
    app.state.versions_told = told_at_the_edge
    app.user_middleware.append(Middleware(Microversions))  # inside RequestIds, which logs the rewritten path
    app.include_router(about.root)
    for module in MODULES:
        app.include_router(module.router, prefix="/v3")
    return app
