"""The order of the guest's sources, and what each one refuses."""

import dataclasses
import hashlib
import http.server
import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.guest import source
from infra.guest.source import Download, GuestImage, GuestUnavailable, obtain
from infra.settings import Settings

CONTENT = b"QFI\xfb" + bytes(100_000)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("KILONOVA_GUEST_IMAGE", raising=False)
    return tmp_path / "cache" / "kilonova"


@pytest.fixture
def web() -> Iterator[tuple[Download, list[str]]]:
    """A web server that has the file, and the list of paths that were asked for."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(CONTENT)

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/guest.img"
    yield Download(url, hashlib.sha256(CONTENT).hexdigest(), 77), asked
    server.shutdown()


def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


def test_download_is_checked_and_kept(tmp_path: Path, cache: Path, web: tuple[Download, list[str]]) -> None:
    download, asked = web
    image = obtain(settings(tmp_path), web=download)
    assert (image.kind, image.min_ram_mb, image.path.read_bytes()) == ("cirros", 77, CONTENT)
    assert obtain(settings(tmp_path), web=download) == image
    assert asked == ["/guest.img"]
    image.path.write_bytes(b"spoiled")
    assert obtain(settings(tmp_path), web=download).path.read_bytes() == CONTENT


def test_failed_download_is_remembered_and_leaves_nothing(cache: Path, web: tuple[Download, list[str]]) -> None:
    download, asked = web
    wrong = dataclasses.replace(download, sha256="0" * 64)
    said: list[str] = []
    cache.mkdir(parents=True)
    assert source._downloaded(wrong, cache, said.append) is None
    assert "checksum" in said[-1]
    assert source._downloaded(wrong, cache, said.append) is None
    assert asked == ["/guest.img"]
    assert [file.suffix for file in cache.iterdir() if file.name != "download.lock"] == [".failed"]
    again = dataclasses.replace(wrong, retry_after_s=0.0)
    assert source._downloaded(again, cache, said.append) is None
    assert len(asked) == 2


def test_named_file_comes_first(
    tmp_path: Path, cache: Path, web: tuple[Download, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = tmp_path / "mine.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", mine, "1M"], check=True)
    monkeypatch.setenv("KILONOVA_GUEST_IMAGE", str(mine))
    monkeypatch.setenv("KILONOVA_GUEST_MIN_RAM", "33")
    assert obtain(settings(tmp_path), web=web[0]) == GuestImage(mine, 33, "named", "qcow2")
    assert not web[1]


@pytest.mark.parametrize("case", ["missing", "backed"])
def test_unusable_named_file_is_refused(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    mine = tmp_path / "mine.qcow2"
    if case == "backed":
        base = tmp_path / "base.raw"
        base.write_bytes(bytes(1 << 20))
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", base, mine], check=True)
    monkeypatch.setenv("KILONOVA_GUEST_IMAGE", str(mine))
    with pytest.raises(GuestUnavailable, match="KILONOVA_GUEST_IMAGE"):
        obtain(settings(tmp_path))


def test_kernel_is_not_compiled_unasked(cache: Path) -> None:
    assert not source.kernel_cached()
    assert not cache.exists()


def test_build_is_kept_and_repaired(
    tmp_path: Path, cache: Path, image: GuestImage, monkeypatch: pytest.MonkeyPatch
) -> None:
    if image.kind == "lean":
        with monkeypatch.context() as real:
            real.delenv("XDG_CACHE_HOME")
            kernel = Path(subprocess.check_output([source.HERE / "kernel.sh", "--cached"], text=True).strip()).parent
        cache.mkdir(parents=True)
        (cache / kernel.name).symlink_to(kernel)
    nothing = Download("http://127.0.0.1:9/none", "0" * 64, 0)
    built = obtain(settings(tmp_path), web=nothing)
    assert (built.kind, built.min_ram_mb) == (image.kind, image.min_ram_mb)
    assert json.loads(built.path.with_name("cirros.json").read_text())["sha256"]
    born = built.path.stat().st_ino
    assert obtain(settings(tmp_path), web=nothing).path.stat().st_ino == born
    built.path.write_bytes(b"torn")
    assert obtain(settings(tmp_path), web=nothing).path.stat().st_size > 1_000_000
    assert not [file for file in cache.iterdir() if file.name.startswith(".")]


def test_failed_build_says_why_and_leaves_nothing(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KILONOVA_KERNEL_DEB", str(tmp_path / "no-such.deb"))
    with pytest.raises(GuestUnavailable, match=r"no-such\.deb"):
        obtain(settings(tmp_path), lean=False)
    assert not [file for file in cache.iterdir() if file.suffix != ".lock"]
