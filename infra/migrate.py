"""Developers' command: `python -m infra.migrate SERVICE MESSAGE` writes a migration from the tables' difference."""

import sys
import tempfile

from alembic import command
from alembic.config import Config

from infra.database import MIGRATIONS, Database


def main() -> None:
    service, message = sys.argv[1:3]
    (MIGRATIONS / service).mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        database = Database(service, f"sqlite:///{scratch}/{service}.sqlite")
        database.migrate()
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.set_main_option("version_locations", str(MIGRATIONS / service))
        config.attributes.update(url=database.url, service=service)
        number = len(list((MIGRATIONS / service).glob("[0-9]*.py"))) + 1
        command.revision(config, message, autogenerate=True, rev_id=f"{number:04d}")


if __name__ == "__main__":
    main()
