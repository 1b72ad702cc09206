"""Glance as a WSGI application, over a store that is up to date."""

import importlib
import json
import os
import sys
from collections.abc import Callable, Iterable
from functools import cache as once
from pathlib import Path
from typing import Any

from infra.credentials import write_private
from infra.embedded import cache, definitions, sqlite
from infra.embedded.native import native_threads

LOADED = ("glance.api.v2.router", "glance.common.wsgi_app", "glance.db.sqlalchemy.api", "keystonemiddleware.auth_token")
TOKENS_S = 60.0
SERVICE_MAY = ("get_image", "get_images", "download_image", "get_member", "get_members")
NO_HOST = "(role:service and not role:kilonova-host)"
LISTS = ("get_images", "get_member", "get_members")
UNFINISHED = {
    "add_image": NO_HOST,
    "upload_image": f"'queued':%(status)s and ({NO_HOST} or (role:service and 'snapshot':%(image_location)s))",
    "delete_image": f"{NO_HOST} and ('queued':%(status)s or 'saving':%(status)s or 'True':%(kilonova_shelved)s)",
}
"""What services may do besides, to make images of servers: an image that is active is its owner's alone, but for
one that a shelved server waits in."""


@once
def load() -> None:
    """All that is the same for any folder: to import Glance is most of its start."""
    native_threads()
    sqlite.install()
    for name in LOADED:
        importlib.import_module(name)


def prepare(folder: Path) -> Any:
    """`folder` holds glance-api.conf. Once a process, since Glance's configuration is global."""
    load()
    os.environ["OS_GLANCE_CONFIG_DIR"] = str(folder)
    sys.argv = ["glance-api"]
    _write_policy(folder)
    from glance.common import wsgi_app
    from glance.db.sqlalchemy import api

    app = wsgi_app.init_app()
    fresh = _migrate()
    definitions.load(folder / "definitions", api.get_engine(), fresh=fresh)
    tokens = cache.Bounded(TOKENS_S)

    def with_cache(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ[cache.TOKENS] = tokens
        answer: Iterable[bytes] = app(environ, start_response)
        return answer

    return with_cache


def _write_policy(folder: Path) -> None:
    """FOLDER/policy.yaml: service users see every image, as compute hosts and volumes must, and change none that is
    active. Compute hosts see an image whose id they know, list none, and fill queued images of servers. Other services
    make images of servers, and may fill one that is still queued: a volume upload goes on after its service died.

    Glance has one rule for both, `context_is_admin`. Rules in STATE/policy/image.yaml come on top."""
    import yaml
    from glance import policies

    rules = {"context_is_admin": "role:admin or role:service"}
    for rule in policies.list_rules():
        if rule.name not in SERVICE_MAY and rule.name not in rules:
            rules[rule.name] = rule.check_str.replace("rule:context_is_admin", "role:admin").replace(
                "rule:service_api", "role:admin"
            )
    rules |= {name: f"({rules[name]}) or ({unless})" for name, unless in UNFINISHED.items()}
    checks = {rule.name: rule.check_str for rule in policies.list_rules()}
    rules |= {name: f"({checks[name]}) and not role:kilonova-host" for name in LISTS}
    own = folder.parent / "policy" / "image.yaml"
    rules |= (yaml.safe_load(own.read_text()) or {}) if own.exists() else {}
    write_private(folder / "policy.yaml", json.dumps(rules, indent=1))


def _migrate() -> bool:
    """What `glance-manage db sync` does: expand, migrate the data, contract. False when there was nothing to do."""
    from alembic import command
    from glance.db.sqlalchemy import alembic_migrations, api
    from glance.db.sqlalchemy.alembic_migrations import data_migrations

    contract = alembic_migrations.get_alembic_branch_head("contract")
    if contract in alembic_migrations.get_current_alembic_heads():
        return False
    config = alembic_migrations.get_alembic_config()
    command.upgrade(config, alembic_migrations.get_alembic_branch_head("expand"))
    data_migrations.migrate(api.get_engine())
    command.upgrade(config, contract)
    return True
