"""`python -m tests.clients`: clients that are programs of their own, unmodified: `opentofu` and `ansible` against one
cloud with real guests, `osc` and `sdk` (the clients' own functional tests) side by side, each against a cloud whose
guests libvirt pretends, and `tempest` (OpenStack's own acceptance tests) against another one of these.

Each client is built or installed once (minutes, kept in ~/.cache/kilonova; `--build NAME` does only that). Needs root,
as `./kilonova up` does. How each of `osc` and `sdk`'s tests ended is kept in var/clients: `--continue` goes on with a
run that was broken off, `--again` runs what did not pass once more. KILONOVA_WRITE_DOCS=1 writes
docs/clients-results.md of what is kept. CLIENTS_TESTS is a regular expression of which of Tempest's tests to run."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

from infra.guest.source import obtain
from tests.clients import functional, results, tempest
from tests.clients.opentofu import OpenTofu
from tests.clients.outcomes import prepare, read
from tests.clients.playbooks import Playbooks
from tests.clients.tools import PROVIDER, TOFU, environment, go_program
from tests.e2e.cloud import Cloud
from tests.ports import free_offset

CLIENTS = {"opentofu": OpenTofu, "ansible": Playbooks}
PROGRAMS: dict[str, Callable[[], list[Path]]] = {
    "opentofu": lambda: [go_program(*TOFU), go_program(*PROVIDER)],
    "ansible": lambda: [environment("ansible")],
    "osc": lambda: [environment("functional")],
    "sdk": lambda: [environment("functional")],
    "tempest": lambda: [environment("functional")],
}


MODES = ("--build", "--continue", "--again")
KEPT = Path(__file__).resolve().parents[2] / "var" / "clients"


class NotUp(Exception):
    """The cloud's own words."""


def main(names: list[str]) -> int:
    """Exit status 0 when everything that was tried succeeded and left nothing."""
    mode = names[0] if names[:1] and names[0] in MODES else ""
    names = (names[1:] if mode else names) or list(CLIENTS)
    if unknown := set(names) - set(PROGRAMS):
        print(f"no such client: {', '.join(sorted(unknown))}; there are {', '.join(PROGRAMS)}")
        return 2
    if mode == "--build":
        for name in names:
            print(*PROGRAMS[name]())
        return 0
    try:
        well = with_guests([name for name in names if name in CLIENTS])
        well += own_tests([name for name in names if name in functional.SUITES], mode)
        well += accepted() if tempest.SUITE in names else []
    except NotUp as error:
        print(error)
        return 1
    print(f"{well.count(True)} passed, {well.count(False)} failed")
    return 0 if all(well) else 1


def with_guests(names: Sequence[str]) -> list[bool]:
    if not names:
        return []
    found: list[bool] = []
    with running() as cloud:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(cloud.key)], check=True)
        image = obtain(cloud.host)
        for name in names:
            client = CLIENTS[name](cloud, image, Path(tempfile.mkdtemp(dir=cloud.settings.state_dir)))
            found += [shown(name, *step) for step in steps(client)]
            found.append(shown(name, "leaves no leak", lambda: leaks(cloud)))
    return found


def own_tests(names: Sequence[str], mode: str) -> list[bool]:
    """Each suite has a cloud of its own, and they run side by side: one must not see what the other one makes."""
    if not names:
        return []
    for name in names:
        prepare(KEPT / f"{name}.jsonl", mode)
    with ExitStack() as clouds, ThreadPoolExecutor() as pool:
        started = {
            name: clouds.enter_context(running("--driver", "test", HOST_NETWORKING="kilonova")) for name in names
        }
        found = [well for each in pool.map(own_tests_of, started, started.values()) for well in each]
    if os.environ.get("KILONOVA_WRITE_DOCS"):
        results.PAGE.write_text(results.page({name: read(KEPT / f"{name}.jsonl") for name in functional.SUITES}))
    return found


def own_tests_of(name: str, cloud: Cloud) -> list[bool]:
    directory = Path(tempfile.mkdtemp(dir=cloud.settings.state_dir))

    def run() -> str:
        functional.prepare(cloud.settings, directory)
        return results.judged(name, functional.run(name, directory, KEPT / f"{name}.jsonl"))

    def tidied() -> str:
        left = functional.tidy(cloud.settings)
        return f"{leaks(cloud)}; {left} servers were left by tests and are deleted"

    return [shown(name, "own tests", run), shown(name, "leaves no leak", tidied)]


def accepted() -> list[bool]:
    with running("--driver", "test", "--hosts", "2", HOST_NETWORKING="kilonova") as cloud:
        directory = Path(tempfile.mkdtemp(dir=cloud.settings.state_dir))

        def run() -> str:
            tempest.prepare(cloud.settings, directory)
            return tempest.run(directory, os.environ.get("CLIENTS_TESTS", tempest.WHICH))

        steps = ("acceptance tests", run), ("leaves no leak", lambda: leaks(cloud))
        return [shown(tempest.SUITE, *step) for step in steps]


@contextmanager
def running(*options: str, **settings: str) -> Iterator[Cloud]:
    """A cloud of its own, which is gone afterwards."""
    state_dir = Path(tempfile.mkdtemp(prefix="kilonova-clients-"))
    cloud = Cloud(state_dir, free_offset())
    cloud.env |= {f"KILONOVA_{name}": value for name, value in settings.items()}
    try:
        up = cloud.kilonova("up", "--no-image", *options, seconds=280)
        if up.returncode:
            raise NotUp(up.stdout + up.stderr)
        yield cloud
    finally:
        cloud.kilonova("down")
        if kept := os.environ.get("CLIENTS_KEEP"):
            shutil.copytree(state_dir / "log", kept, dirs_exist_ok=True)
        shutil.rmtree(state_dir, ignore_errors=True)


def steps(client: object) -> list[tuple[str, Callable[[], str]]]:
    """A client's public methods, in the order in which they are written."""
    names = [name for name, value in vars(type(client)).items() if callable(value) and not name.startswith("_")]
    return [(name.replace("_", " "), getattr(client, name)) for name in names]


def shown(client: str, what: str, do: Callable[[], str]) -> bool:
    """Whether it went well; one line that says so. A step after a failed one is tried all the same: it may tidy."""
    begun = time.monotonic()
    try:
        words, well = do(), True
    except (AssertionError, subprocess.SubprocessError) as error:
        words, well = f"FAILED\n{error}", False
    print(f"{client} {what}: {words} ({time.monotonic() - begun:.0f} s)", flush=True)
    return well


def leaks(cloud: Cloud) -> str:
    found = cloud.kilonova("leaks")
    assert found.returncode == 0, found.stdout
    return "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
