"""Horizon's own environment in the cache: locked packages, its static files beside them; made once for each lock."""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from infra.guest.source import cache_dir
from infra.horizon import config

LOCK = Path(__file__).parents[1] / "packages" / "horizon.txt"
SECONDS = 600
DONE = "made"


class HorizonUnavailable(Exception):
    """The environment could not be made; the text is the last words of what failed."""


def place() -> Path:
    """Where the environment of this lock and this recipe lies, made or not."""
    recipe = b"".join(file.read_bytes() for file in (LOCK, Path(__file__)))
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return cache_dir() / f"horizon-{hashlib.sha256(recipe + version.encode()).hexdigest()[:16]}"


def ensure() -> Path:
    """The environment: `bin/python`, and `static` with every file that browsers ask for. Raises HorizonUnavailable."""
    wanted = place()
    wanted.parent.mkdir(parents=True, exist_ok=True)
    with (wanted.parent / "horizon.lock").open("w") as mutex:
        fcntl.flock(mutex, fcntl.LOCK_EX)
        if not (wanted / DONE).exists():
            shutil.rmtree(wanted, ignore_errors=True)
            _make(wanted)
            (wanted / DONE).touch()
    return wanted


def _make(wanted: Path) -> None:
    uv = Path(sys.prefix) / ".uv" / "bin" / "uv"
    if not uv.exists():
        raise HorizonUnavailable(f"there is no {uv}: the `kilonova` beside README.md makes it")
    install = [str(uv), "--no-config", "--quiet"]
    within = {"VIRTUAL_ENV": str(wanted)}
    _run([*install, "venv", "--python", sys.executable, str(wanted)], {})
    builders = wanted / "builders.txt"
    builders.write_text(_builders(LOCK.read_text()))
    # What builds source packages comes first, by hash as the rest, so that no build fetches anything on its own.
    _run([*install, "pip", "install", "--no-deps", "--require-hashes", "-r", str(builders)], within)
    options = ["--no-build-isolation", "--require-hashes", "--compile-bytecode"]
    _run([*install, "pip", "sync", *options, str(LOCK)], within)
    settings = wanted / "building"
    config.write_settings(settings, {"SECRET_KEY": "of no session", "STATIC_ROOT": str(wanted / "static")})
    django = {"PYTHONPATH": str(settings), "DJANGO_SETTINGS_MODULE": "openstack_dashboard.settings"}
    _run([str(wanted / "bin" / "python"), "-m", "django", "collectstatic", "--noinput"], django)
    shutil.rmtree(settings)


def _builders(lock: str) -> str:
    kept, lines = False, []
    for line in lock.splitlines():
        if line and line[0].isalnum():
            kept = line.startswith(("setuptools==", "wheel=="))
        lines += [line] if kept else []
    return "\n".join(lines) + "\n"


def _run(command: list[str], env: dict[str, str]) -> None:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("KILONOVA_", "OS_", "PYTHON", "VIRTUAL_ENV"))}
    try:
        done = subprocess.run(
            command, env=kept | env, cwd="/", capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise HorizonUnavailable(f"not within {SECONDS} s: {' '.join(command[:4])}") from error
    if done.returncode:
        raise HorizonUnavailable((done.stderr or done.stdout).strip()[-1500:])
