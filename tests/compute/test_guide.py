"""Each command in the operator's guide about hosts' credentials, certificates and keys, read from there and run."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from infra.codec import KeyRing
from infra.fernet_keys import FernetKeys
from tests.openstack import ROOT, OpenStack

CHAPTERS = ("### Hosts' credentials", "### Certificates", "## Keys")
COMMAND = re.compile(r"`((?:kilonova|keystone-manage) [^`]+|rotate-payloads[^`]*)`")
WHOLE = {"rotate-payloads": "kilonova keys "}
"""What the guide shortens where it goes on about one command."""
ELSEWHERE = {
    "kilonova up --tls": ROOT / "tests" / "security" / "test_tls.py",
    "kilonova temporal-gate --listen 10.0.0.1:7234": ROOT / "tests" / "security" / "test_gate.py",
    "kilonova status": ROOT / "tests" / "cli" / "test_commands.py",
}
"""They need a whole cloud, or Temporal: who runs them."""


def told() -> list[str]:
    text = (ROOT / "docs" / "operator-guide.md").read_text()
    found = []
    for chapter in CHAPTERS:
        section = re.split(r"^##+ ", text.split(f"\n{chapter}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
        for command in COMMAND.findall(section):
            whole = WHOLE.get(command.split()[0], "") + command
            found += [] if whole in found or whole in ELSEWHERE else [whole]
    return found


def test_the_guides_commands_do_what_it_says(openstack: OpenStack, tmp_path: Path) -> None:
    commands = told()
    assert len(commands) > 9 and {words.split()[1] for words in commands} >= {"host", "keys", "credential_rotate"}
    KeyRing.load(tmp_path / "keys" / "codec.json")  # as `up` makes them
    FernetKeys.of(tmp_path).ensure()
    for command in commands:
        program, kind = command.split()[:2]
        shared = kind == "host" or program == "keystone-manage"
        state = openstack.settings.state_dir if shared else tmp_path
        place = {"KILONOVA_STATE_DIR": str(state), "KILONOVA_PORT_OFFSET": str(openstack.settings.port_offset)}
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("KILONOVA_", "OS_"))}
        argv = [str(ROOT / ".venv" / "bin" / program), *command.split()[1:]]
        if program == "keystone-manage":
            argv[1:1] = ["--config-file", str(state / "keystone" / "keystone.conf")]
        done = subprocess.run(argv, env=kept | place, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    assert (tmp_path / "tls" / "temporal-key.pem").exists() and len(list((tmp_path / "keys" / "fernet").iterdir())) > 2
    assert len(json.loads((tmp_path / "keys" / "codec.json").read_text())["keys"]) > 2


@pytest.mark.parametrize("command", ELSEWHERE)
def test_somebody_runs_the_others(command: str) -> None:
    assert command in (ROOT / "docs" / "operator-guide.md").read_text()
    for word in command.split()[1:3]:
        assert f'"{word}"' in ELSEWHERE[command].read_text()
