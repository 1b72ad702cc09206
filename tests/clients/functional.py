"""The functional tests that python-openstackclient and openstacksdk bring in their wheels, against one cloud.

They expect what DevStack makes: an image, a flavor, two networks and users by certain names in clouds.yaml."""

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console

from infra import credentials
from infra.settings import Settings
from tests import preloaded
from tests.clients.outcomes import Run, read
from tests.clients.tools import HERE, environment
from tests.e2e.cloud import wait_for
from workers.cli.client import Client

PROGRAM = HERE / "functional" / "openstack"
"""Hands its command to what `served` has begun; OPENSTACK_SERVED names its door."""
LIMIT_S = 5400
ONE_TEST_S = 240
ENDED = (0, 1, 5)
"""Exit statuses of pytest that has come to its end: all passed, some failed, there was nothing left to run."""
FLAVORS = {
    "m1.tiny": (512, 1, 1),
    "m1.small": (2048, 20, 1),
    "m1.medium": (4096, 40, 2),
    "m1.large": (8192, 80, 4),
    "m1.xlarge": (16384, 160, 8),
}
"""MiB, GiB, processors: as DevStack makes them."""
NETWORKS: list[tuple[str, str, bool, dict[str, Any]]] = [
    ("private", "10.77.0.0/20", True, {"is_shared": True}),
    ("public", "172.24.4.0/24", False, {"is_router_external": True, "is_default": True}),
]
TYPE = "lvmdriver-1"
"""What DevStack's default type of volumes is called."""
SUITES = {
    "osc": ("openstackclient", ("compute", "network", "volume/v3", "common", "image/v2", "identity/v3")),
    "sdk": ("openstack", ("compute", "network", "block_storage/v3", "cloud", "placement", "image", "identity")),
}
"""Package, and which folders of its functional tests: first those of our own services, last OpenStack's own two."""


def prepare(settings: Settings, directory: Path) -> None:
    """What the tests take for granted, as an operator makes it."""
    sdk = Client(settings, "admin", Console(quiet=True)).sdk
    (directory / "CONTRIBUTING.rst").write_text("What two of the tests upload.\n")
    small = directory / "small.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(small), "1M"], check=True)
    formats = {"disk_format": "qcow2", "container_format": "bare", "visibility": "public"}
    sdk.image.create_image("cirros-0.6.3-x86_64-disk", filename=str(small), **formats)
    for name, (ram, disk, vcpus) in FLAVORS.items():
        sdk.compute.create_flavor(name=name, ram=ram, disk=disk, vcpus=vcpus)
    made = {}
    for name, cidr, dhcp, more in NETWORKS:
        network = sdk.network.create_network(name=name, **more)
        subnet = {"network_id": network.id, "ip_version": 4, "cidr": cidr, "is_dhcp_enabled": dhcp}
        made[name] = sdk.network.create_subnet(name=f"{name}-subnet", **subnet)
    outward = {"network_id": made["public"].network_id}
    router = sdk.network.create_router(name="router1", external_gateway_info=outward)
    sdk.network.add_interface_to_router(router, subnet_id=made["private"].id)
    sdk.block_storage.update_type(sdk.block_storage.get("/types/default").json()["volume_type"]["id"], name=TYPE)
    pool: dict[str, Any] = {"prefixes": ["10.78.0.0/20"], "default_prefix_length": 26}
    sdk.network.create_subnet_pool(name="shared-default-subnetpool-v4", is_default=True, is_shared=True, **pool)
    project = sdk.identity.create_project(name="alt_demo", domain_id="default")
    user = sdk.identity.create_user(name="alt_demo", password=_passwords(settings)["alt_demo"], domain_id="default")
    roles = {role.name: role for role in sdk.identity.roles()}
    sdk.identity.assign_project_role_to_user(project, user, roles["member"])
    sdk.identity.assign_system_role_to_user(sdk.current_user_id, roles["admin"], "all")
    file = directory / "clouds.yaml"
    file.touch(0o600)
    file.write_text(yaml.safe_dump({"clouds": _clouds(settings)}))


def _passwords(settings: Settings) -> dict[str, str]:
    known = credentials.load(settings.state_dir)
    return {**known, "alt_demo": known["demo"]}


def _clouds(settings: Settings) -> dict[str, Any]:
    common = {"region_name": settings.region, "identity_api_version": "3", "has_volume": True}

    def entry(user: str, **scope: str) -> dict[str, Any]:
        who = {"username": user, "password": _passwords(settings)[user], "user_domain_name": "Default"}
        return {"auth": {"auth_url": settings.url("identity", "/v3"), **who, **scope}, **common}

    people = {"devstack": "demo", "devstack-alt": "alt_demo", "devstack-admin": "admin"}
    found = {cloud: entry(who, project_name=who, project_domain_name="Default") for cloud, who in people.items()}
    return found | {"devstack-system-admin": entry("admin", system_scope="all")}


def run(suite: str, directory: Path, journal: Path, tests: Sequence[str] = (), limit_s: int = LIMIT_S) -> Run:
    """How each test ended, as far as the limit lets it come; what the journal knows already is not run again.

    `tests`: files below the functional tests. AssertionError when they could not be run."""
    package, folders = SUITES[suite]
    programs = environment("functional")
    place = next(programs.parent.glob(f"lib/python3*/site-packages/{package}/tests/functional"))
    options = ["-q", "--tb=short", "--timeout", str(ONE_TEST_S), "-p", "no:cacheprovider", "-c", "/dev/null"]
    options += ["-p", "journal", "--journal", str(journal), "--rootdir", str(place)]
    command = [str(programs / "python"), "-m", "pytest", *options, *(str(place / name) for name in tests or folders)]
    end, log = time.monotonic() + limit_s, directory / f"{suite}.log"
    with served(programs, directory) as door:
        env = _environment(programs, directory) | {"OPENSTACK_SERVED": str(door)}
        before = -1
        while (begun := journal.read_text().count('"begun"') if journal.exists() else 0) > before:
            before = begun  # what ended too early goes on as long as it comes forward
            if _pytest(command, env, log, end) in ENDED or time.monotonic() > end:
                break
    found = read(journal)
    assert found.outcomes, f"{suite}'s tests could not be run\n{log.read_text()[-4000:]}"
    return found


def _pytest(command: Sequence[str], env: dict[str, str], log: Path, end: float) -> int:
    """Its exit status; it is interrupted at `end`."""
    with log.open("a") as out:
        ran = subprocess.Popen(command, env=env, cwd=log.parent, stdout=out, stderr=out)
        try:
            return ran.wait(max(1, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            ran.send_signal(signal.SIGINT)
        try:
            return ran.wait(30)
        except subprocess.TimeoutExpired:
            ran.kill()
            return ran.wait()


def tidy(settings: Settings) -> int:
    """Deletes the servers that tests left, as several do on any cloud; how many."""
    compute = Client(settings, "admin", Console(quiet=True)).sdk.compute
    left = list(compute.servers(all_projects=True))
    for server in left:
        compute.delete_server(server)
    wait_for(lambda: not list(compute.servers(all_projects=True)), 60, "the servers are gone")
    return len(left)


def _environment(programs: Path, directory: Path) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTEST"))}
    return kept | {
        "PATH": f"{HERE / 'functional'}:{programs}:{os.environ['PATH']}",
        "OS_CLIENT_CONFIG_FILE": str(directory / "clouds.yaml"),
        "OPENSTACKSDK_FUNC_TEST_TIMEOUT": "60",
        "OS_TEST_TIMEOUT": str(ONE_TEST_S),
        "PYTHONPATH": str(HERE / "functional"),
        "HOME": str(directory),
    }


@contextmanager
def served(programs: Path, directory: Path) -> Iterator[Path]:
    """The client, loaded once for all commands: 0.2 s of CPU each instead of 3. It remembers where it was loaded: the
    tests drop each variable that could name clouds.yaml, which it then looks for in its directory."""
    door = Path(tempfile.mkdtemp(dir=directory)) / "door"
    server = subprocess.Popen([*_serve(programs), str(door)], cwd=directory, env=_environment(programs, directory))
    try:
        wait_for(door.exists, 60, "the client is loaded")
        yield door
    finally:
        server.terminate()
        server.wait(10)


@contextmanager
def served_to_all(programs: Path, directory: Path) -> Iterator[Path]:
    """As `served`, and where the processes of a run share what is loaded by one process for all of them."""
    door = preloaded.client(_serve(programs), _environment(programs, directory), directory)
    with served(programs, directory) if door is None else nullcontext(door) as found:
        wait_for(found.exists, 60, "the client is loaded")
        yield found


def _serve(programs: Path) -> list[str]:
    return [str(programs / "python"), str(HERE / "functional" / "serve.py")]
