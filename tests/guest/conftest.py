"""The guest image as `obtain` gives it here, and machines to boot it in."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from infra.guest.source import GuestImage, kernel_cached, obtain
from infra.settings import Settings
from tests.guest.machine import Machine


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> GuestImage:
    return obtain(Settings(state_dir=tmp_path_factory.mktemp("state")), lean=kernel_cached())


@pytest.fixture
def machine(tmp_path: Path, image: GuestImage) -> Iterator[Callable[[], Machine]]:
    made: list[Machine] = []
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me@here", "-f", key], check=True)

    def make() -> Machine:
        directory = tmp_path / f"machine{len(made)}"
        directory.mkdir()
        made.append(Machine(directory, image.path, image.min_ram_mb, key))
        return made[-1]

    yield make
    for one in made:
        one.kill()
