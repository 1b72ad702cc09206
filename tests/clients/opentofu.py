"""OpenTofu with the OpenStack provider: made, found unchanged, changed in place, reached, destroyed."""

import json
import os
import re
import subprocess
from pathlib import Path

from infra import credentials
from infra.guest.source import GuestImage
from tests.clients.tools import HERE, PROVIDER, TOFU, go_program
from tests.e2e.cloud import Cloud, wait_for
from tests.signed_in import environment

LIMIT_S = 400
CHANGED = "-var=changed=true"
FLOATING = "openstack_networking_floatingip_v2.front"


class OpenTofu:
    """Each method is one thing that is shown, and answers with what there is to say of it."""

    def __init__(self, cloud: Cloud, image: GuestImage, directory: Path) -> None:
        tofu, provider = go_program(*TOFU), go_program(*PROVIDER)
        self._cloud, self._tofu, self._state = cloud, str(tofu), directory / "tofu.tfstate"
        settings = directory / "tofurc"
        overrides = f'dev_overrides {{ "terraform-provider-openstack/openstack" = "{provider.parent}" }}'
        settings.write_text(f"provider_installation {{\n  {overrides}\n  direct {{}}\n}}\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "TF_"))}
        given = {
            "operator_password": credentials.load(cloud.settings.state_dir)["admin"],
            "image_file": str(image.path),
            "image_ram": str(max(64, image.min_ram_mb)),
            "public_key": cloud.key.with_suffix(".pub").read_text(),
        }
        self._env = kept | environment(cloud.settings, "demo") | {f"TF_VAR_{name}": v for name, v in given.items()}
        self._env |= {"TF_CLI_CONFIG_FILE": str(settings), "TF_DATA_DIR": str(directory), "TF_IN_AUTOMATION": "1"}

    def makes_everything(self) -> str:
        words = self._run("apply", "-auto-approve")
        added, changed, destroyed = _counts(words)
        assert added > 0 == changed == destroyed
        return f"{added} made"

    def finds_nothing_to_change(self) -> str:
        assert "No changes." in self._run("plan", "-detailed-exitcode")
        return "an empty plan"

    def changes_in_place(self) -> str:
        words = self._run("apply", "-auto-approve", CHANGED)
        added, changed, destroyed = _counts(words)
        assert changed > 0 == added == destroyed
        return f"{changed} changed, none replaced"

    def finds_nothing_more_to_change(self) -> str:
        assert "No changes." in self._run("plan", "-detailed-exitcode", CHANGED)
        return "an empty plan"

    def reaches_the_server_at_its_floating_address(self) -> str:
        shown = json.loads(self._run("show", "-json", str(self._state), state=False))
        rows = {row["address"]: row["values"] for row in shown["values"]["root_module"]["resources"]}
        address = rows[FLOATING]["address"]
        wait_for(lambda: self._cloud.pings(address), 120, f"{address} answers")
        return "it answers"

    def destroys_everything(self) -> str:
        words = self._run("destroy", "-auto-approve", CHANGED)
        found = re.search(r"Destroy complete! Resources: (\d+) destroyed", words)
        assert found, words
        return f"{found[1]} destroyed"

    def _run(self, *arguments: str, state: bool = True) -> str:
        """What it prints; AssertionError with its words where it fails or, planning, finds a difference."""
        command = [self._tofu, *arguments, "-no-color", *([f"-state={self._state}"] if state else [])]
        done = subprocess.run(
            command, cwd=HERE / "tofu", env=self._env, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
        assert done.returncode == 0, f"tofu {' '.join(arguments)}\n{done.stdout[-6000:]}{done.stderr}"
        return done.stdout


def _counts(words: str) -> tuple[int, int, int]:
    found = re.search(r"Apply complete! Resources: (\d+) added, (\d+) changed, (\d+) destroyed", words)
    assert found, words
    return int(found[1]), int(found[2]), int(found[3])
