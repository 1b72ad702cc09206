"""Ansible's openstack.cloud collection: two playbooks, each played twice. The second time nothing is changed."""

import os
import re
import subprocess
from pathlib import Path

from infra.guest.source import GuestImage
from tests.clients.tools import HERE, environment
from tests.e2e.cloud import Cloud

LIMIT_S = 1500
"""Past which a playbook hangs. Each task is a process that loads the SDK: 46 took more than 500 s at a load of 25."""


class Playbooks:
    """Each method is one thing that is shown, and answers with what there is to say of it."""

    def __init__(self, cloud: Cloud, image: GuestImage, directory: Path) -> None:
        programs = environment("ansible")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "ANSIBLE_"))}
        self._env = kept | {
            "OS_CLIENT_CONFIG_FILE": str(cloud.settings.state_dir / "clouds.yaml"),
            "ANSIBLE_HOME": str(directory),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PIPELINING": "1",
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": str(programs / "python"),
        }
        given = {
            "image_file": image.path,
            "image_ram": max(64, image.min_ram_mb),
            "public_key": f"'{cloud.key.with_suffix('.pub').read_text().strip()}'",
        }
        self._command = [str(programs / "ansible-playbook"), "-i", "localhost,", "-c", "local"]
        for name, value in given.items():
            self._command += ["-e", f"{name}={value}"]

    def makes_everything(self) -> str:
        tasks, changed = self._play("present")
        assert changed == tasks
        return f"{tasks} tasks, {changed} changed"

    def finds_nothing_to_change(self) -> str:
        tasks, changed = self._play("present", "--skip-tags=once")
        assert changed == 0, f"{changed} changed the second time"
        return f"{tasks} tasks, none changed"

    def takes_everything_away(self) -> str:
        tasks, changed = self._play("absent")
        assert changed == tasks
        return f"{tasks} tasks, {changed} changed"

    def finds_nothing_to_take_away(self) -> str:
        tasks, changed = self._play("absent", "--skip-tags=once")
        assert changed == 0, f"{changed} changed the second time"
        return f"{tasks} tasks, none changed"

    def _play(self, name: str, *options: str) -> tuple[int, int]:
        """How many tasks it did, and how many of these changed something; AssertionError where one failed."""
        command = [*self._command, *options, str(HERE / "ansible" / f"{name}.yml")]
        try:
            done = subprocess.run(command, env=self._env, capture_output=True, text=True, timeout=LIMIT_S)
        except subprocess.TimeoutExpired as error:
            raise AssertionError(f"{name} did not end in {LIMIT_S} s; so far: {str(error.stdout)[-3000:]}") from error
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr
        found = re.search(r"ok=(\d+) +changed=(\d+) +unreachable=0 +failed=0", done.stdout)
        assert found, done.stdout[-3000:]
        return int(found[1]), int(found[2])
