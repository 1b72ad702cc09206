"""Tempest, OpenStack's own acceptance tests, against one cloud of two hosts whose guests libvirt pretends.

What the cloud can do is told by Tempest's own settings; what fails all the same has its reason in
`functional/reasons.toml`."""

import configparser
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console

from infra import credentials
from infra.settings import Settings
from tests.clients import results
from tests.clients.outcomes import Outcome, Run
from tests.clients.tools import environment
from workers.cli.client import Client

SUITE = "tempest"
WHICH = r"^tempest\.api\.(compute|network|volume)\."
LIMIT_S = 3000
ENDED = re.compile(
    r"^\{\d+\} (?:setUpClass \()?(?P<test>[\w.]+)\)?(?: \[(?P<seconds>[\d.]+)s\])? \.\.\. "
    r"(?P<result>ok|FAILED|SKIPPED)(?:: (?P<words>.*))?$",
    re.MULTILINE,
)
RESULTS = {"ok": "passed", "FAILED": "failed", "SKIPPED": "skipped"}
DETAILS = re.compile(r"^ *Details: (.*)$|^ *(?:\w+\.)*(?:\w*Error|\w*Exception): (.*)$", re.MULTILINE)
CAN = "resize rescue volume_multiattach swap_volume personality hostname_fqdn_sanitization"
CANNOT = {
    "compute-feature-enabled": "live_migration cold_migration vnc_console console_output attach_encrypted_volume",
    "volume-feature-enabled": "backup extend_attached_encrypted_volume",
    "service_available": "swift horizon",
    "validation": "run_validation",
}
"""Section → what is off. The consoles are libvirt's test driver's lack, as guests that could be logged into are."""


def prepare(settings: Settings, directory: Path) -> None:
    """Two images, two flavors and an external network, as an operator makes them; and Tempest's own settings."""
    sdk = Client(settings, "admin", Console(quiet=True)).sdk
    small = directory / "small.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(small), "1M"], check=True)
    formats = {"disk_format": "qcow2", "container_format": "bare", "visibility": "public"}
    images = [sdk.image.create_image(name, filename=str(small), **formats).id for name in ("one", "other")]
    flavors = [sdk.compute.create_flavor(name=f"m1.{ram}", ram=ram, vcpus=1, disk=1).id for ram in (64, 128)]
    network = sdk.network.create_network(name="public", is_router_external=True, is_default=True)
    outside: dict[str, Any] = {"network_id": network.id, "ip_version": 4, "cidr": "172.24.0.0/20"}
    sdk.network.create_subnet(name="public-subnet", **outside)
    shared = sdk.block_storage.create_type(name="shared", extra_specs={"multiattach": "<is> True"})
    extensions = sorted(each.alias for each in sdk.network.extensions())
    told: dict[str, dict[str, Any]] = {
        "DEFAULT": {"log_dir": directory, "log_file": "tempest.log"},
        "oslo_concurrency": {"lock_path": directory / "locks"},
        "auth": {
            "use_dynamic_credentials": True,
            "admin_username": "admin",
            "admin_password": credentials.load(settings.state_dir)["admin"],
            "admin_project_name": "admin",
            "admin_domain_name": "Default",
        },
        "identity": {"uri_v3": settings.url("identity", "/v3"), "auth_version": "v3", "region": settings.region},
        "compute": {
            "image_ref": images[0],
            "image_ref_alt": images[1],
            "flavor_ref": flavors[0],
            "flavor_ref_alt": flavors[1],
            "max_microversion": "latest",
            "min_compute_nodes": 2,
            "build_timeout": 90,
        },
        "compute-feature-enabled": dict.fromkeys(CAN.split(), True)
        | {"scheduler_enabled_filters": "DifferentHostFilter,SameHostFilter"},
        "network": {"public_network_id": network.id, "floating_network_name": "public", "build_timeout": 15},
        "network-feature-enabled": {"api_extensions": ",".join(extensions)},
        "volume": {
            "build_timeout": 90,
            "max_microversion": "latest",
            "storage_protocol": "nbd",
            "vendor_name": "Kilonova",
            "volume_type_multiattach": shared.name,
        },
    }
    for section, names in CANNOT.items():
        told.setdefault(section, {}).update(dict.fromkeys(names.split(), False))
    written = configparser.RawConfigParser(default_section="")
    written.read_dict({section: {name: str(value) for name, value in each.items()} for section, each in told.items()})
    begun = _tempest(directory, directory, "init", str(directory / "ws"))
    assert begun.returncode == 0, begun.stdout
    file = directory / "ws" / "etc" / "tempest.conf"
    file.touch(0o600)
    with file.open("w") as config:
        written.write(config)


def run(directory: Path, which: str = WHICH) -> str:
    """The counts; AssertionError with each failure that nobody has explained."""
    done = _tempest(directory, directory / "ws", "run", "--regex", which, "--concurrency", "3")
    found = list(outcomes(done.stdout))
    assert found, done.stdout[-2000:] + done.stderr[-2000:]
    if kept := os.environ.get("CLIENTS_KEEP"):
        lines = [json.dumps(vars(each)) for each in found]
        Path(kept).mkdir(parents=True, exist_ok=True)
        (Path(kept) / "tempest.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return results.judged(SUITE, Run(found), whole=which == WHICH)


def _tempest(home: Path, cwd: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Below `home` it notes its workspaces."""
    programs = environment("functional")
    env = {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(home)}
    command = [str(programs / "tempest"), *arguments]
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT_S, check=False)


def outcomes(said: str) -> Iterator[Outcome]:
    """A class that could not begin, or was not to, is one of them under its own name."""
    ends = list(ENDED.finditer(said))
    for end, following in zip(ends, [*ends[1:], None], strict=True):
        told = DETAILS.findall(said[end.end() : following.start() if following else len(said)])
        words = end["words"] or next(("".join(each) for each in reversed(told)), "")
        test = end["test"].removeprefix("tempest.api.")
        yield Outcome(test, RESULTS[end["result"]], words[:300], float(end["seconds"] or 0))
