"""The unmodified `openstack` client, run as its users run it, and openstacksdk for looking things up quickly."""

import json
import os
import shlex
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from infra import credentials
from infra.bootstrap import PEOPLE
from infra.settings import Settings

NEWEST = "2.96"


class ClientFailed(Exception):
    """The client's own words."""


class Client:
    """One user of the cloud. Passwords go through the environment, never into a command line."""

    program = str(Path(sys.executable).with_name("openstack"))

    def __init__(self, settings: Settings, user: str, console: Console) -> None:
        self._settings, self._user, self._console = settings, user, console

    @property
    def _auth(self) -> dict[str, str]:
        return {
            "auth_url": self._settings.url("identity", "/v3"),
            "username": self._user,
            "password": credentials.load(self._settings.state_dir)[self._user],
            "project_name": PEOPLE[self._user][1],
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }

    @property
    def _cacert(self) -> str | None:
        return str(self._settings.trusted) if self._settings.trusted else None

    def __call__(self, *arguments: str, answers: bool = True) -> Any:
        """Run `openstack ARGUMENTS`, shown as typed; its JSON answer, if it `answers` anything. ClientFailed with its
        last words."""
        self._console.print(f"[bold]$[/] openstack {escape(shlex.join(arguments))}", soft_wrap=True)
        env = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        env |= {f"OS_{name.upper()}": value for name, value in self._auth.items()}
        env |= {"OS_CACERT": self._cacert} if self._cacert else {}
        env |= {"OS_REGION_NAME": self._settings.region, "OS_IDENTITY_API_VERSION": "3"}
        silent = not answers or {"delete", "add", "set"} & set(arguments)
        command = [self.program, *arguments, *([] if silent else ["-f", "json"])]
        done = subprocess.run(command, env=env, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
        if done.returncode:
            raise ClientFailed((done.stderr or done.stdout).strip()[-1000:] or f"exit status {done.returncode}")
        return json.loads(done.stdout) if done.stdout.strip().startswith(("{", "[")) else {}

    @cached_property
    def sdk(self) -> Any:
        """An openstacksdk connection of the same user."""
        import openstack

        return openstack.connect(
            load_yaml_config=False,
            load_envvars=False,
            auth=self._auth,
            region_name=self._settings.region,
            cacert=self._cacert,
        )

    def get(self, path: str) -> Any:
        """JSON of GET `path` at the compute API, newest microversion."""
        return self.sdk.compute.get(path, microversion=NEWEST).json()
