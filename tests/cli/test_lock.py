"""The environment is what the lock says: a newer release on the index changes nothing."""

import base64
import hashlib
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
UV = Path(sys.prefix) / ".uv" / "bin" / "uv"


def wheel(index: Path, name: str, version: str, *requires: str) -> str:
    """Put a release on the index; its hash."""
    file = index / name / f"{name}-{version}-py3-none-any.whl"
    file.parent.mkdir(parents=True, exist_ok=True)
    info = f"{name}-{version}.dist-info"
    needs = "".join(f"Requires-Dist: {each}\n" for each in requires)
    content = {
        f"{name}.py": f"version = {version!r}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\nProvides-Extra: toml\n{needs}",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{path},sha256={_digest(text.encode())},{len(text)}" for path, text in content.items()]
    content[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,"]) + "\n"
    with zipfile.ZipFile(file, "w") as archive:
        for path, text in content.items():
            archive.writestr(path, text)
    links = "".join(f'<a href="{each.name}">{each.name}</a>\n' for each in sorted(file.parent.glob("*.whl")))
    (file.parent / "index.html").write_text(f"<!DOCTYPE html><html><body>{links}</body></html>")
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A package index on loopback: its directory and its address."""
    place = tmp_path / "simple"
    place.mkdir()
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield place, f"http://127.0.0.1:{server.server_address[1]}/simple"
    server.shutdown()


def sync_line() -> list[str]:
    """What the launcher itself asks of uv to bring the environment in line with the lock."""
    found = re.search(r'uv (pip sync .*?) "\$lock"', (ROOT / "kilonova").read_text())
    assert found
    return found.group(1).split()


def install(tmp_path: Path, url: str, lock: Path) -> subprocess.CompletedProcess[str]:
    venv = tmp_path / "venv"
    own = {"VIRTUAL_ENV": str(venv), "UV_CACHE_DIR": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}
    run = partial(subprocess.run, env=own, text=True, capture_output=True, timeout=60)
    if not venv.exists():
        run([str(UV), "--no-config", "venv", "--python", sys.executable, str(venv)], check=True)
    return run([str(UV), "--no-config", *sync_line(), "--default-index", url, str(lock)], check=False)


def version(tmp_path: Path, name: str) -> str:
    python = tmp_path / "venv" / "bin" / "python"
    asked = [str(python), "-c", f"import {name}; print({name}.version)"]
    return subprocess.run(asked, text=True, capture_output=True, check=True).stdout.strip()


def test_a_newer_release_on_the_index_changes_nothing(tmp_path: Path, index: tuple[Path, str]) -> None:
    """The case that broke: the lock names a package, another one of it asks for that package with an extra."""
    place, url = index
    asks = wheel(place, "asks", "1.0", "needed[toml]>=1")
    needed = wheel(place, "needed", "1.0")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"asks==1.0 \\\n    --hash=sha256:{asks}\nneeded==1.0 \\\n    --hash=sha256:{needed}\n")
    wheel(place, "needed", "2.0")
    wheel(place, "asks", "1.1", "needed[toml]>=2")
    done = install(tmp_path, url, lock)
    assert done.returncode == 0, done.stderr
    assert (version(tmp_path, "asks"), version(tmp_path, "needed")) == ("1.0", "1.0")


def test_a_package_that_is_not_the_locked_one_is_refused(tmp_path: Path, index: tuple[Path, str]) -> None:
    place, url = index
    wheel(place, "needed", "1.0")
    lock = tmp_path / "requirements.lock"
    lock.write_text(f"needed==1.0 \\\n    --hash=sha256:{'0' * 64}\n")
    done = install(tmp_path, url, lock)
    assert done.returncode != 0
    assert "mismatch" in done.stderr.lower()


def test_everything_that_the_project_asks_for_is_in_the_lock() -> None:
    """What is locked is complete: uv's own check of the environment finds nothing missing or in conflict."""
    check = [str(UV), "--no-config", "pip", "check", "--python", sys.executable]
    done = subprocess.run(check, text=True, capture_output=True, timeout=60)
    assert done.returncode == 0, done.stderr
