"""Horizon's server, in Horizon's environment, which has nothing of ours: serve.py UID LISTEN PORT [CERTIFICATE KEY].

Starts as root, who alone reads the TLS key, and is the unprivileged user UID before it imports any of Horizon."""

import os
import sys

from cheroot.ssl.builtin import BuiltinSSLAdapter
from cheroot.wsgi import Server

THREADS = 6
SHUTDOWN_S = 3


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
    server = Server((listen, int(port)), app, numthreads=THREADS, server_name="", shutdown_timeout=SHUTDOWN_S)
    server.ssl_adapter = adapter
    server.start()


if __name__ == "__main__":
    main(*sys.argv[1:])
