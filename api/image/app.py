"""The embedded image service: Glance's v2 API over files in the state directory."""

from fastapi import FastAPI

from api.common.application import create_app
from api.image.errors import render
from api.image.routes import about, data, images, members, tags, unsupported
from api.image.service import ImageService, lifespan
from infra.settings import Settings

ROUTES = (about, images, data, members, tags, unsupported)


def create(settings: Settings) -> FastAPI:
    """The application; when it starts it migrates its store and undoes what a killed predecessor left."""
    app = create_app("image", settings, render, lifespan, {"images": ImageService(settings)})
    for module in ROUTES:
        app.include_router(module.router)
    return app
