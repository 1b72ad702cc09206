"""A state directory or settings that cannot be used: one line that says so, exit status 2, never a traceback."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_commands import Shell, can_run_a_cloud


def line(shell: Shell, *command: str) -> str:
    done = shell(*command)
    assert done.returncode == 2, done.stdout + done.stderr
    (said,) = (done.stdout + done.stderr).splitlines()
    return said


@pytest.fixture
def mounted(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    place = tmp_path / "mounted"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", request.param, "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@can_run_a_cloud
@pytest.mark.parametrize("command", ["up", "demo", "status", "leaks"])
def test_a_file_in_its_place(tmp_path: Path, command: str) -> None:
    file = tmp_path / "file"
    file.write_text("somebody's")
    for place in (file, file / "below"):
        said = line(Shell(place), command)
        assert said.startswith(f"The state directory {place} cannot be used: a file is where a directory has to be")
    assert file.read_text() == "somebody's"


@can_run_a_cloud
@pytest.mark.parametrize("mounted", ["size=1m,ro"], indirect=True)
def test_nothing_can_be_written(mounted: Path) -> None:
    assert "cannot be used: read-only file system" in line(Shell(mounted), "up")


@can_run_a_cloud
@pytest.mark.parametrize("mounted", ["size=4k"], indirect=True)
def test_no_room(mounted: Path) -> None:
    (mounted / "filler").write_bytes(b"x" * 4096)
    assert line(Shell(mounted), "up") == f"The state directory {mounted} cannot be used: no space left on device."


@pytest.mark.parametrize(
    ("file", "words"),
    [
        ("listen = = 1", "kilonova.toml cannot be read: "),
        ('heartbeat_s = "soon"', "Setting heartbeat_s: "),
        ('nbd_address = "192.0.2.1"', "nbd_address needs nbd_tls_dir"),
    ],
)
@can_run_a_cloud
def test_settings_that_cannot_be(tmp_path: Path, file: str, words: str) -> None:
    (tmp_path / "kilonova.toml").write_text(file)
    for command in ("up", "leaks"):
        assert words in line(Shell(tmp_path), command)


@can_run_a_cloud
def test_ports_that_there_are_not(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.env["KILONOVA_PORT_OFFSET"] = "60000"
    assert line(shell, "up").startswith("Setting port_offset: Input should be less than or equal to ")


@can_run_a_cloud
def test_no_libvirtd(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.env["PATH"] = str(tmp_path)
    refused = shell("up")
    assert refused.returncode == 1 and refused.stderr == "", refused.stderr
    assert refused.stdout.startswith("The cloud is not up. There is no `libvirtd`: install ")
    assert not (tmp_path / "keys").exists(), "nothing was begun"
