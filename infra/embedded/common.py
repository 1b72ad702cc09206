"""What the configurations of Keystone and Glance have in common."""

from infra.database import DatabaseSettings
from infra.embedded.ini import Value
from infra.settings import Settings

LOG_LEVELS = "stevedore=CRITICAL,alembic=WARNING,uvicorn=WARNING,keystoneauth=WARNING,keystonemiddleware=WARNING"
"""stevedore tells of each store whose library is not installed, at every start."""


def database(service: str, settings: Settings) -> dict[str, Value]:
    """The section [database]: waits as long as it takes for a server that does not answer yet."""
    state = settings.state_dir.absolute()
    url = DatabaseSettings().url(service, state)
    (state / "db").mkdir(parents=True, exist_ok=True)
    return {"connection": url, "max_retries": -1, "retry_interval": 1}
