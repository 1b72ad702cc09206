"""The unmodified `openstack` client against the service, in the commands of its users."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.identity.conftest import Cloud

OPENSTACK = Path(sys.executable).with_name("openstack")


def environment(cloud: Cloud, user: str) -> dict[str, str]:
    """What sourcing the openrc file that bootstrap wrote gives."""
    script = f". {cloud.settings.state_dir}/{user}-openrc && env -0"
    shown = subprocess.run(["sh", "-c", script], capture_output=True, check=True)
    return dict(line.split("=", 1) for line in shown.stdout.decode().split("\0") if "=" in line)


def openstack(env: dict[str, str], *words: str, output: bool = True) -> Any:
    command = [str(OPENSTACK), *words, *(("-f", "json") if output else ())]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, (words, done.stderr)
    return json.loads(done.stdout) if output else done.stdout


@pytest.fixture
def as_admin(cloud: Cloud) -> dict[str, str]:
    return environment(cloud, "admin")


def test_admin_sets_up_a_project(cloud: Cloud, as_admin: dict[str, str]) -> None:
    openstack(as_admin, "project", "create", "--domain", "default", "cli-project")
    openstack(as_admin, "user", "create", "--domain", "default", "--password", "cli pass", "cli-user")
    openstack(as_admin, "role", "create", "cli-role")
    openstack(as_admin, "role", "add", "--project", "cli-project", "--user", "cli-user", "cli-role", output=False)
    rows = openstack(as_admin, "role", "assignment", "list", "--names")
    mine = [row for row in rows if row["User"] == "cli-user@Default"]
    assert [(row["Role"], row["Project"]) for row in mine] == [("cli-role", "cli-project@Default")]
    assert (
        cloud.sign_in(
            "cli-user", "cli pass", {"project": {"name": "cli-project", "domain": {"id": "default"}}}
        ).status_code
        == 201
    )


def test_catalog_endpoints_and_token(cloud: Cloud, as_admin: dict[str, str]) -> None:
    catalog = openstack(as_admin, "catalog", "list")
    assert {row["Type"] for row in catalog} >= {"identity", "compute", "image", "network", "block-storage", "volumev3"}
    listed = openstack(as_admin, "endpoint", "list", "--service", "compute")
    assert {row["URL"] for row in listed} == {cloud.settings.url("compute", "/v2.1")}
    token = openstack(as_admin, "token", "issue")["id"]
    assert cloud.as_("admin").validate(token).status_code == 200
    openstack(as_admin, "token", "revoke", token, output=False)
    assert cloud.as_("admin").validate(token).status_code == 404


def test_an_application_credential_signs_in(cloud: Cloud) -> None:
    env = environment(cloud, "demo")
    made = openstack(env, "application", "credential", "create", "--role", "member", "cli-credential")
    sign_in = {name: value for name, value in env.items() if not name.startswith("OS_")} | {
        "OS_AUTH_TYPE": "v3applicationcredential",
        "OS_AUTH_URL": env["OS_AUTH_URL"],
        "OS_APPLICATION_CREDENTIAL_ID": made["ID"],
        "OS_APPLICATION_CREDENTIAL_SECRET": made["Secret"],
        "OS_IDENTITY_API_VERSION": "3",
    }
    token = openstack(sign_in, "token", "issue")
    assert token["project_id"] == made["Project ID"]


def test_clouds_yaml_signs_in(cloud: Cloud) -> None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    env["OS_CLIENT_CONFIG_FILE"] = str(cloud.settings.state_dir / "clouds.yaml")
    rows = openstack(env, "--os-cloud", "kilonova", "project", "list")
    assert [row["Name"] for row in rows] == ["demo"]
