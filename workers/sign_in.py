"""Which cloud user a process signs in as."""

import json

from pydantic import SecretStr

from infra import credentials
from infra.settings import Settings


def as_service(settings: Settings, user: str) -> Settings:
    """`settings` that sign in as cloud user `user`, unless the operator named a service user of his own.

    The password comes from STATE/credentials.json, never from a command line."""
    return _as_user(settings, user, credentials.load(settings.state_dir).get(user, ""))


def as_host(settings: Settings) -> Settings:
    """`settings` that sign in as the user of this host. Its password and its payload keys come from the files that
    `kilonova host add` made, else, for a host of the controller's own machine, from the controller's."""
    user, file = credentials.host_user(settings.host), credentials.host_file(settings.state_dir, settings.host)
    keys = credentials.host_keys(settings.state_dir, settings.host)
    if keys.exists() and settings.codec_key_file is None:
        settings = settings.model_copy(update={"codec_key_file": keys})
    if file.exists():
        return _as_user(settings, user, json.loads(file.read_text())["password"])
    return as_service(settings, user)


def _as_user(settings: Settings, user: str, password: str) -> Settings:
    if settings.service_username:
        return settings
    return settings.model_copy(update={"service_username": user, "service_password": SecretStr(password)})
