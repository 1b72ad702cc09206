"""The clients themselves, unmodified: built or installed once and kept in ~/.cache/kilonova, as guest images are."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infra.guest.source import cache_dir

HERE = Path(__file__).parent
UV = Path(sys.prefix) / ".uv" / "bin" / "uv"
TOFU = ("tofu", "github.com/opentofu/opentofu", "v1.12.6", "./cmd/tofu")
PROVIDER = (
    "terraform-provider-openstack",
    "github.com/terraform-provider-openstack/terraform-provider-openstack/v3",
    "v3.4.0",
    ".",
)
"""Program, module, version, package. Go checks each by the checksum database, what they need by their own go.sum."""


def go_program(name: str, module: str, version: str, package: str) -> Path:
    """The program `name`, built in its module's own directory, so that its own replacements of modules count."""
    directory = cache_dir() / f"{name}-{version}"
    with _locked(directory):
        if not (directory / name).exists():
            fetched = _run(["go", "mod", "download", "-json", f"{module}@{version}"], cwd=HERE / "gophercloud")
            source = Path(json.loads(fetched)["Dir"])
            directory.mkdir(parents=True, exist_ok=True)
            _run(["go", "build", "-o", str(directory / f".{name}"), package], cwd=source)
            (directory / f".{name}").rename(directory / name)
    return directory / name


def environment(name: str) -> Path:
    """`bin` of an environment of a client's own: what `NAME/requirements.lock` says, by hash, nothing of Kilonova's."""
    lock = HERE / name / "requirements.lock"
    directory = cache_dir() / f"{name}-{hashlib.sha256(lock.read_bytes()).hexdigest()[:16]}"
    with _locked(directory):
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            _run([str(UV), "--no-config", "-q", "venv", "--python", sys.executable, str(directory)])
            install = ["pip", "sync", "--require-hashes", "--python", str(directory / "bin" / "python"), str(lock)]
            _run([str(UV), "--no-config", "-q", *install])
            (directory / "complete").touch()
    return directory / "bin"


def debian(*packages: str) -> Path:
    """Debian's packages, unpacked and not installed: their root. RuntimeError where there are none to be had."""
    directory = cache_dir() / f"debian-{packages[0]}"
    with _locked(directory):
        if not (directory / "complete").exists():
            shutil.rmtree(directory, ignore_errors=True)
            directory.mkdir(parents=True)
            try:
                _run(["apt-get", "-qq", "download", *packages], cwd=directory)
            except RuntimeError:
                _run(["apt-get", "-qq", "update"])
                _run(["apt-get", "-qq", "download", *packages], cwd=directory)
            for package in directory.glob("*.deb"):
                _run(["dpkg-deb", "-x", str(package), str(directory)])
            (directory / "complete").touch()
    return directory


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _run(command: list[str], cwd: Path | None = None) -> str:
    done = subprocess.run(command, cwd=cwd, env=os.environ, capture_output=True, text=True, timeout=1500)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-3000:]}")
    return done.stdout
