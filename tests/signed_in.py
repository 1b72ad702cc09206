"""The environment in which a client is a bootstrapped user: what `kilonova openrc` prints for it."""

from infra import credentials
from infra.bootstrap import sign_in
from infra.settings import Settings


def environment(settings: Settings, user: str, project: str = "") -> dict[str, str]:
    return sign_in(settings, user, credentials.load(settings.state_dir)[user], project or user)
