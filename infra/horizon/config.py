"""Horizon's settings, written by us: below STATE/horizon, readable by Horizon's own user and nobody else."""

import os
import secrets
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.credentials import write_private
from infra.settings import Settings

VIEW = Path("/mnt")
"""Where Horizon's process sees what it needs, in a mount namespace of its own: its user reads nothing below /root."""
ENVIRONMENT, SETTINGS, PYTHON = VIEW / "environment", VIEW / "settings", VIEW / "python"
READY, READY_TEXT = "static/ready.txt", "Horizon answers."
"""Path and content of what the supervisor asks for every second: no page, since one costs 20 ms of a core and more."""


def folder(settings: Settings) -> Path:
    return settings.state_dir.absolute() / "horizon"


def write_settings(place: Path, values: Mapping[str, Any]) -> None:
    """`local.local_settings`, which openstack_dashboard.settings imports from the first `local` on its path."""
    (place / "local").mkdir(parents=True, exist_ok=True)
    (place / "local" / "__init__.py").write_text("")
    lines = [f"{name} = {value!r}" for name, value in values.items()]
    write_private(place / "local" / "local_settings.py", "\n".join(lines) + "\n")


def write(settings: Settings, static: Path, uid: int) -> None:
    """All of STATE/horizon, as `uid`'s, with a copy of `static`, to which Horizon adds what it compresses.

    The key that signs sessions is kept, so that they outlive a restart."""
    place, key = folder(settings), settings.state_dir / "keys" / "horizon"
    if not key.exists():
        key.parent.mkdir(parents=True, exist_ok=True)
        write_private(key, secrets.token_urlsafe(48))
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(mode=0o700)
    write_settings(place, values(settings, key.read_text()))
    shutil.copytree(static, place / "static")
    (place / READY).write_text(READY_TEXT + "\n")
    write_private(place / "pyvenv.cfg", f"home = {PYTHON}/bin\n")
    if settings.trusted:
        write_private(place / "trusted.pem", settings.trusted.read_text())
    for path in (place, *place.rglob("*")):
        os.chown(path, uid, uid)


def values(settings: Settings, secret_key: str) -> dict[str, Any]:
    """Source: Horizon's settings reference and Django's."""
    secure = settings.tls or settings.tls_terminated
    local = ["localhost", "127.0.0.1", "[::1]", socket.gethostname()]
    found: dict[str, Any] = {
        "SECRET_KEY": secret_key,
        "ALLOWED_HOSTS": sorted({settings.listen, settings.advertise, *local}),
        "OPENSTACK_KEYSTONE_URL": settings.identity_url,
        "STATIC_ROOT": str(SETTINGS / "static"),
        "LOCAL_PATH": str(SETTINGS),
        "CACHES": {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}},
        "SESSION_ENGINE": "django.contrib.sessions.backends.signed_cookies",
        "SESSION_COOKIE_SECURE": secure,
        "CSRF_COOKIE_SECURE": secure,
        "OPENSTACK_IMAGE_BACKEND": {
            "image_formats": [("qcow2", "QCOW2"), ("raw", "Raw")]
        },  # as glance-api.conf has them
        "DEBUG": False,
        "LOGGING": {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"console": {"class": "logging.StreamHandler"}},
            "root": {"handlers": ["console"], "level": "WARNING"},
        },
    }
    if settings.trusted:
        found["OPENSTACK_SSL_CACERT"] = str(SETTINGS / "trusted.pem")
    if settings.tls_terminated:
        found["SECURE_PROXY_SSL_HEADER"] = ("HTTP_X_FORWARDED_PROTO", "https")
    return found
