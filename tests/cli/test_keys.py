"""Keys change while things run: what was sealed before stays readable, and nobody needs a restart."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra.codec import KeyRing
from infra.fernet_keys import FernetKeys

KILONOVA = str(Path(sys.executable).with_name("kilonova"))


def keys(state_dir: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    env = os.environ | {"KILONOVA_STATE_DIR": str(state_dir)}
    return subprocess.run(
        [KILONOVA, "keys", *arguments], env=env, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def ring_file(tmp_path: Path) -> Path:
    file = tmp_path / "keys" / "codec.json"
    KeyRing.load(file)
    return file


def test_payload_keys_change_under_a_running_process(tmp_path: Path, ring_file: Path) -> None:
    running, before = KeyRing.load(ring_file), KeyRing.load(ring_file).seal("old")
    assert keys(tmp_path, "rotate-payloads").returncode == 0
    fresh = KeyRing.load(ring_file)
    assert before.startswith("k1:") and running.seal("new").startswith("k2:")
    assert fresh.unseal(before) == running.unseal(before) == "old"
    assert running.unseal(fresh.seal("new")) == "new"
    assert ring_file.stat().st_mode & 0o777 == 0o600


def test_hosts_keys_follow(tmp_path: Path, ring_file: Path) -> None:
    """Keys of a host open what the controllers sealed for it, and after a rotation its file has the new one too."""
    file = tmp_path / "hosts" / "rack7" / "codec.json"
    KeyRing.give(ring_file, "rack7", file)
    running, controllers = KeyRing.load(file), KeyRing.load(ring_file)
    old = controllers.encrypt(b"x", b"p", "rack7")
    assert str(file) in keys(tmp_path, "rotate-payloads").stdout.replace("\n", "")
    new = controllers.encrypt(b"y", b"p", "rack7")
    assert (old[0], new[0]) == ("k1@rack7", "k2@rack7")
    assert [running.decrypt(*sealed, b"p") for sealed in (old, new)] == [b"x", b"y"]
    assert controllers.decrypt(*running.encrypt(b"z", b"p", "rack7"), b"p") == b"z"
    for other in (controllers.encrypt(b"x", b"p"), controllers.encrypt(b"x", b"p", "rack8")):
        with pytest.raises(KeyError):
            running.decrypt(*other, b"p")
    assert file.stat().st_mode & 0o777 == 0o600
    shared = set(json.loads(file.read_text())["keys"].values()) & set(
        json.loads(ring_file.read_text())["keys"].values()
    )
    assert not shared


def test_a_staged_key_opens_before_it_seals(tmp_path: Path, ring_file: Path) -> None:
    assert keys(tmp_path, "rotate-payloads", "--stage").returncode == 0
    copied = tmp_path / "elsewhere.json"
    copied.write_text(ring_file.read_text())
    elsewhere = KeyRing.load(copied)
    assert elsewhere.seal("x").startswith("k1:")
    assert "k2" in keys(tmp_path, "rotate-payloads").stdout
    sealed = KeyRing.load(ring_file).seal("x")
    assert sealed.startswith("k2:") and elsewhere.unseal(sealed) == "x"


def test_an_unknown_key_is_looked_for_in_the_file(ring_file: Path) -> None:
    """The file's stamp may not show a change made within one tick of the clock."""
    running = KeyRing.load(ring_file)
    stamp = ring_file.stat()
    KeyRing.rotate(ring_file)
    sealed = KeyRing.load(ring_file).seal("x")
    os.utime(ring_file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert running.unseal(sealed) == "x"


def test_token_keys(tmp_path: Path) -> None:
    repository = FernetKeys.of(tmp_path)
    repository.ensure()
    first = (repository.directory / "1").read_text()
    for _ in range(3):
        assert keys(tmp_path, "rotate-tokens").returncode == 0
        assert (repository.directory / "1").read_text() == first
    assert sorted(file.name for file in repository.directory.glob("[0-9]*")) == ["0", "1", "2", "3", "4"]
    assert keys(tmp_path, "rotate-tokens", "--keep", "2").returncode == 2


@pytest.mark.parametrize("command", ["rotate-tokens", "rotate-payloads"])
def test_nothing_is_made_where_there_is_no_cloud(tmp_path: Path, command: str) -> None:
    done = keys(tmp_path, command)
    assert (done.returncode, "no keys" in done.stdout) == (1, True)
    assert not (tmp_path / "keys").exists()
