"""The embedded identity service as one application: its store, its keys, its rules, its routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from sqlalchemy.exc import IntegrityError

from api.common.application import create_app
from api.common.errors import ServiceError
from api.common.policy import Policy
from api.identity.access import Identity
from api.identity.accounts import Accounts
from api.identity.errors import render
from api.identity.limits import BodyLimit
from api.identity.policy import DEFAULTS
from api.identity.routes import (
    application_credentials,
    assignments,
    auth,
    domains,
    endpoints,
    grants,
    projects,
    regions,
    roles,
    services,
    unsupported,
    users,
    versions,
)
from api.identity.seal import Sealer
from api.identity.settings import IdentitySettings
from api.identity.sign_in import SignIn
from api.identity.tokens import Tokens
from infra.fernet_keys import FernetKeys
from infra.identity_store import IdentityStore
from infra.passwords import Passwords
from infra.settings import Settings

ROUTES = (
    versions,
    auth,
    domains,
    projects,
    application_credentials,
    users,
    roles,
    grants,
    assignments,
    services,
    endpoints,
    regions,
    unsupported,
)


def assemble(settings: Settings, own: IdentitySettings) -> Identity:
    """Everything that the routes use; makes the key repository when there is none, and migrates the store."""
    keys = FernetKeys.of(settings.state_dir)
    keys.ensure()
    store = IdentityStore(settings)
    store.open()
    passwords = Passwords(own.hash_threads)
    tokens, accounts = Tokens(store, Sealer(keys), own), Accounts(store, own)
    sign_in = SignIn(store, tokens, passwords, accounts)
    return Identity(store, tokens, passwords, accounts, sign_in, Policy("identity", DEFAULTS, settings.state_dir))


def create(settings: Settings) -> FastAPI:
    own = IdentitySettings()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        identity = app.state.identity = assemble(settings, own)
        try:
            yield
        finally:
            identity.passwords.close()
            identity.store.close()

    app = create_app("identity", settings, render, life)
    app.add_middleware(BodyLimit, most=own.max_body_bytes)
    for module in ROUTES:
        app.include_router(module.router)

    @app.exception_handler(IntegrityError)
    async def taken(request: Request, _error: IntegrityError) -> Response:
        """Two writers whose checks both passed: the store's own constraint let one through."""
        return render(ServiceError(409, "Conflict occurred attempting to store the resource."), request)

    return app
