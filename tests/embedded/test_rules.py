"""Keystone makes its rules at the first question, in the open: who asked a second one meanwhile was forbidden (403)."""

import subprocess
import sys

from tests.openstack import OpenStack

FOUR_AT_ONCE = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
folder, token = sys.argv[1:]
from infra.embedded import keystone
app = keystone.prepare(Path(folder))
from keystone.common import policies
rules = policies.list_rules
policies.list_rules = lambda: [time.sleep(0.3), rules()][1]
from werkzeug.test import Client
headers = {"X-Auth-Token": token, "X-Subject-Token": token}
ask = lambda _: str(Client(app).get("/v3/auth/tokens", headers=headers).status_code)
with ThreadPoolExecutor(4) as pool:
    print(*pool.map(ask, range(4)))
"""
"""The first requests of a Keystone that takes its time over its rules, if it has none yet."""


def test_first_requests_at_once_find_every_rule(openstack: OpenStack) -> None:
    folder = openstack.settings.state_dir / "keystone"
    argv = [sys.executable, "-c", FOUR_AT_ONCE, folder, openstack.token("demo")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines()[-1:] == ["200 200 200 200"], done.stdout + done.stderr
