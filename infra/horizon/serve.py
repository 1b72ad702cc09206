"""Horizon's server, in Horizon's environment, which has nothing of ours: serve.py UID LISTEN PORT [CERTIFICATE KEY].

Starts as root, who alone reads the TLS key, and is the unprivileged user UID before it imports any of Horizon."""

import os
import re
import sys
from collections.abc import Callable, Iterable
from typing import Any

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

THREADS = 6
SHUTDOWN_S = 3


def one_slash(app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    """As the web servers do that Horizon is written for: its pages ask for `images//actions/…`."""

    def merged(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        environ["PATH_INFO"] = re.sub("//+", "/", environ.get("PATH_INFO", ""))
        return app(environ, start_response)

    return merged


def main(uid: str, listen: str, port: str, *tls: str) -> None:
    adapter = BuiltinSSLAdapter(*tls) if tls else None
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
    os.environ["DJANGO_SETTINGS_MODULE"] = "openstack_dashboard.settings"
    from django.conf import settings
    from django.core.wsgi import get_wsgi_application
    from django.test import Client
    from whitenoise import WhiteNoise

    horizon = get_wsgi_application()
    Client(SERVER_NAME="localhost").get("/auth/login/", secure=bool(tls))  # compresses, before anybody waits for it
    app = WhiteNoise(horizon, root=settings.STATIC_ROOT, prefix=settings.STATIC_URL, autorefresh=True)
    server = Server(
        (listen, int(port)), one_slash(app), numthreads=THREADS, server_name="", shutdown_timeout=SHUTDOWN_S
    )
    server.ssl_adapter = adapter
    server.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
