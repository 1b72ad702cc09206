"""Runs one embedded service in a process of its own: python -m tests.volume.serve SERVICE USER."""

import importlib
import sys

import uvicorn
from pydantic import SecretStr
from starlette.middleware import Middleware

from infra import credentials, logs
from infra.settings import Settings
from tests.volume.interceptor import Contract


def main() -> None:
    service, user = sys.argv[1:3]
    settings = Settings(service_username=user)
    settings.service_password = SecretStr(credentials.load(settings.state_dir)[user])
    logs.setup(service)
    app = importlib.import_module(f"api.{service}.app").create(settings)
    if service == "volume":
        app.user_middleware.insert(0, Middleware(Contract))
    uvicorn.run(app, host=settings.listen, port=settings.port(service), log_config=None, access_log=False)


if __name__ == "__main__":
    main()
