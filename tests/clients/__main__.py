"""`python -m tests.clients`: clients that are programs of their own, unmodified, against one cloud with real guests.

Each client is built or installed once (minutes, kept in ~/.cache/kilonova; `--build NAME` does only that). Needs root,
as `./kilonova up` does."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from infra.guest.source import obtain
from tests.clients.opentofu import OpenTofu
from tests.clients.playbooks import Playbooks
from tests.clients.tools import PROVIDER, TOFU, environment, go_program
from tests.e2e.cloud import Cloud
from tests.ports import free_offset

CLIENTS = {"opentofu": OpenTofu, "ansible": Playbooks}
PROGRAMS: dict[str, Callable[[], list[Path]]] = {
    "opentofu": lambda: [go_program(*TOFU), go_program(*PROVIDER)],
    "ansible": lambda: [environment("ansible")],
}


def main(names: list[str]) -> int:
    """Exit status 0 when everything that was tried succeeded and left nothing."""
    build_only = names[:1] == ["--build"]
    names = names[1:] if build_only else names
    if unknown := set(names) - set(CLIENTS):
        print(f"no such client: {', '.join(sorted(unknown))}; there are {', '.join(CLIENTS)}")
        return 2
    if build_only:
        for name in names or PROGRAMS:
            print(*PROGRAMS[name]())
        return 0
    state_dir = Path(tempfile.mkdtemp(prefix="kilonova-clients-"))
    cloud = Cloud(state_dir, free_offset())
    results: list[bool] = []
    try:
        up = cloud.kilonova("up", "--no-image", seconds=280)
        if up.returncode:
            print(up.stdout + up.stderr)
            return 1
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(cloud.key)], check=True)
        image = obtain(cloud.host)
        for name in names or CLIENTS:
            client = CLIENTS[name](cloud, image, Path(tempfile.mkdtemp(dir=state_dir)))
            results += [shown(name, *step) for step in steps(client)]
            results.append(shown(name, "leaves no leak", lambda: leaks(cloud)))
    finally:
        cloud.kilonova("down")
        shutil.rmtree(state_dir, ignore_errors=True)
    print(f"{results.count(True)} passed, {results.count(False)} failed")
    return 0 if results and all(results) else 1


def steps(client: object) -> list[tuple[str, Callable[[], str]]]:
    """A client's public methods, in the order in which they are written."""
    names = [name for name, value in vars(type(client)).items() if callable(value) and not name.startswith("_")]
    return [(name.replace("_", " "), getattr(client, name)) for name in names]


def shown(client: str, what: str, do: Callable[[], str]) -> bool:
    """Whether it went well; one line that says so. A step after a failed one is tried all the same: it may tidy."""
    begun = time.monotonic()
    try:
        words, well = do(), True
    except (AssertionError, subprocess.TimeoutExpired) as error:
        words, well = f"FAILED\n{error}", False
    print(f"{client} {what}: {words} ({time.monotonic() - begun:.0f} s)", flush=True)
    return well


def leaks(cloud: Cloud) -> str:
    found = cloud.kilonova("leaks")
    assert found.returncode == 0, found.stdout
    return "none"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
