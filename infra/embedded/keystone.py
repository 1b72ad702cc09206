"""Keystone as a WSGI application, over a store, users and a catalog that are up to date."""

import importlib
import json
import os
import sys
from functools import cache as once
from pathlib import Path
from typing import Any

from infra.embedded import cache, saml, sqlite
from infra.embedded.native import native_threads

LOADED = (
    "keystone.common.sql.upgrades",
    "keystone.server.flask.core",
    "infra.embedded.bootstrap",
    "infra.embedded.one_context_each",
)


@once
def load() -> None:
    """All that is the same for any folder: to import Keystone is most of its start."""
    native_threads()
    saml.install()
    sqlite.install()
    cache.register()
    for name in LOADED:
        importlib.import_module(name)
    from infra.embedded import one_token_each

    one_token_each.install()


def prepare(folder: Path) -> Any:
    """`folder` holds keystone.conf and bootstrap.json. Once a process, since Keystone's configuration is global."""
    load()
    os.environ["OS_KEYSTONE_CONFIG_FILES"] = str(folder / "keystone.conf")
    sys.argv = ["keystone"]
    from keystone.common.sql import upgrades
    from keystone.server.flask import core

    from infra.embedded import bootstrap, one_context_each

    def migrate() -> None:
        upgrades.offline_sync_database_to_version()

    app = core.initialize_application("public", migrate, [str(folder / "keystone.conf")])
    bootstrap.ensure(json.loads((folder / "bootstrap.json").read_text()), folder / "bootstrapped")
    _make_rules()
    return one_context_each.wrap(app)


def _make_rules() -> None:
    """Keystone makes its rules at the first request, where other threads see those that there are so far, and answer
    403 for the others."""
    from keystone.common.rbac_enforcer.enforcer import RBACEnforcer

    RBACEnforcer.suppress_deprecation_warnings = True
    RBACEnforcer()._enforcer.load_rules()
