"""Which cloud user a process signs in as."""

from pydantic import SecretStr

from infra import credentials
from infra.settings import Settings


def as_service(settings: Settings, user: str) -> Settings:
    """`settings` that sign in as cloud user `user`, unless the operator named a service user of his own.

    The password comes from STATE/credentials.json, never from a command line."""
    if settings.service_username:
        return settings
    password = credentials.load(settings.state_dir).get(user, "")
    return settings.model_copy(update={"service_username": user, "service_password": SecretStr(password)})
