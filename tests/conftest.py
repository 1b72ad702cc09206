"""Fixtures of every folder: Keystone and Glance, started once, when the first test wants them."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import structlog
from xdist.scheduler.loadscope import LoadScopeScheduling

from tests import effort, first, loaded
from tests.clients.functional import PROGRAM, served_to_all
from tests.openstack import OpenStack
from workers import settle

HERE = Path(__file__).parent
settle.begin()
os.environ.setdefault("SSL_CERT_FILE", str(HERE / "nobody.pem"))
"""One certificate, for tests and what they start: to read all of the world's costs each client 30 ms, even of HTTP."""
_PLAIN = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
structlog.configure(processors=[*structlog.get_config()["processors"][:-1], _PLAIN])
"""A traceback in colours and frames costs as much as all else of a request that fails."""
_LONG = "e2e resilience host frame hostnet guests actions network volume workflows embedded compute edge"
LONG = (*_LONG.split(), "cli", "security", "guest")
"""What takes longest, in that order: begun early, it leaves the short ones to fill the gaps."""
MEASURED = ("auditing", "compute", "frame", "host", "hostnet", "resilience", "workflows")
"""Folders that run workflows and steps in their own process. Others do without what coverage costs: Python calls it for
each line of every module, though it counts those of two packages."""
_WITH_GUESTS = "agent disks guest interfaces local_disks power rescues shapes snapshots uids"
APART = {
    "tests/frame/test_actions.py": "actions",
    **{f"tests/host/test_{name}.py": "guests" for name in _WITH_GUESTS.split()},
}
"""Files that take as long as a folder; what they share with the rest of theirs is begun twice."""


def group(nodeid: str) -> str:
    """Tests of a group run in turn, in one process."""
    file = nodeid.partition("::")[0]
    return APART.get(file) or file.split("/")[1]


class ByFolder(LoadScopeScheduling):  # type: ignore[misc]
    """Where tests run beside each other (`-n 6`), those of a folder, or of a part of it, share its clouds."""

    def _split_scope(self, nodeid: str) -> str:
        return group(nodeid)


def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    if not config.getoption("--cov"):  # counts from a process's start what is run, and much is run while it is loaded
        stack = ExitStack()
        config.add_cleanup(stack.close)
        place = stack.enter_context(TemporaryDirectory(prefix="kilonova-tests-"))
        stack.enter_context(loaded.loading(specs, config, Path(place)))


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFolder:
    return ByFolder(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if left_out := effort.left_out(items):
        config.hook.pytest_deselected(items=list(left_out))
        items[:] = [item for item in items if item not in left_out]

    def place(item: pytest.Item) -> int:
        mine = group(item.nodeid)
        return LONG.index(mine) if mine in LONG else len(LONG)

    items.sort(key=place)
    for item in items:
        if item.path.relative_to(HERE).parts[0] not in MEASURED:
            item.add_marker("no_cover")


def pytest_collection_finish() -> None:
    first.done()
    settle.settle()  # a thousand modules are loaded, and stay


@pytest.fixture(scope="session")
def keystone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenStack]:
    """Keystone runs; Glance may be started beside it."""
    found = OpenStack(tmp_path_factory.mktemp("openstack"))
    try:
        found.start("identity")
        yield found
    finally:
        found.stop()


@pytest.fixture(scope="session")
def openstack(keystone: OpenStack) -> OpenStack:
    """Keystone and Glance run."""
    keystone.start("image")
    return keystone


@pytest.fixture(scope="session")
def openstack_client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The program `openstack`: the unmodified client, whose modules are loaded once for all commands of a run."""
    with served_to_all(Path(sys.executable).parent, tmp_path_factory.mktemp("client")) as door:
        os.environ["OPENSTACK_SERVED"] = str(door)
        yield str(PROGRAM)
        del os.environ["OPENSTACK_SERVED"]
