"""Where the test guest's image comes from: a named file, the real CirrOS, or a build from Debian packages."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx

from infra import logs
from infra.settings import Settings

HERE = Path(__file__).parent
Kind = Literal["named", "cirros", "lean", "debian"]
Say = Callable[[str], object]
log = logs.get(__name__)


@dataclass(frozen=True)
class GuestImage:
    """A bootable image: `path`, the least memory in MiB it boots in (0: not known), where it is from, its format."""

    path: Path
    min_ram_mb: int
    kind: Kind
    disk_format: str = "qcow2"


@dataclass(frozen=True)
class Download:
    """A file on the web that never changes; `min_ram_mb` is what OpenStack's own test flavors give this image."""

    url: str
    sha256: str
    min_ram_mb: int
    connect_s: float = 3.0
    retry_after_s: float = 24 * 3600.0


CIRROS = Download(
    "https://download.cirros-cloud.net/0.6.2/cirros-0.6.2-x86_64-disk.img",
    "07e44a73e54c94d988028515403c1ed762055e01b83a767edf3c2b387f78ce00",
    192,
)


class GuestUnavailable(Exception):
    """No source gave an image; the text says what each of them lacked."""


def obtain(settings: Settings, lean: bool | None = None, web: Download = CIRROS, say: Say = log.info) -> GuestImage:
    """The guest image, from the first source that has one; everything but a named file is kept in the cache.

    The order: the file that KILONOVA_GUEST_IMAGE names (its memory in KILONOVA_GUEST_MIN_RAM, MiB), the download
    `web`, a build with the lean kernel if that is cached, a build with Debian's kernel. `lean=True` asks for the lean
    build, kernel compiled if need be (minutes), `lean=False` for Debian's; both pass over the download,
    and so does libvirt's test driver, where no guest ever runs. Raises GuestUnavailable."""
    if named := os.environ.get("KILONOVA_GUEST_IMAGE", ""):
        return _named(Path(named))
    cache = cache_dir()
    cache.mkdir(parents=True, exist_ok=True)
    if lean is None and settings.virt_type != "test" and (fetched := _downloaded(web, cache, say)):
        return fetched
    if lean is None:
        lean = kernel_cached()
    return _built("lean" if lean else "debian", cache, say)


def cache_dir() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "kilonova"


def kernel_cached() -> bool:
    """Whether the lean kernel is there already, so that a build with it takes seconds."""
    return subprocess.run([HERE / "kernel.sh", "--cached"], capture_output=True, check=False).returncode == 0


def _named(path: Path) -> GuestImage:
    try:
        answer = subprocess.run(
            ["qemu-img", "info", "--output=json", path], capture_output=True, check=True, text=True, timeout=30
        )
    except (subprocess.SubprocessError, OSError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        raise GuestUnavailable(f"KILONOVA_GUEST_IMAGE: {path} is not an image: {reason.strip()}") from error
    facts = json.loads(answer.stdout)
    if "backing-filename" in facts:
        raise GuestUnavailable(f"KILONOVA_GUEST_IMAGE: {path} needs another file; flatten it with qemu-img convert")
    return GuestImage(path.absolute(), int(os.environ.get("KILONOVA_GUEST_MIN_RAM", "0")), "named", facts["format"])


def _downloaded(web: Download, cache: Path, say: Say) -> GuestImage | None:
    """The image from the web; None when it cannot be had, which is remembered for `retry_after_s`."""
    target = cache / f"download-{web.sha256[:16]}.img"
    failure = target.with_suffix(".failed")
    with _locked(cache / "download.lock"):
        if target.exists() and _sha256(target) == web.sha256:
            return GuestImage(target, web.min_ram_mb, "cirros")
        if failure.exists() and time.time() - failure.stat().st_mtime < web.retry_after_s:
            return None
        try:
            _fetch(web, target, say)
        except (httpx.HTTPError, OSError, ValueError) as error:
            say(f"no download of {web.url}: {error or type(error).__name__}")
            failure.touch()
            return None
        failure.unlink(missing_ok=True)
        return GuestImage(target, web.min_ram_mb, "cirros")


def _fetch(web: Download, target: Path, say: Say) -> None:
    partial, digest = target.with_suffix(".part"), hashlib.sha256()
    timeout = httpx.Timeout(15.0, connect=web.connect_s)
    try:
        with httpx.stream("GET", web.url, timeout=timeout, follow_redirects=True) as answer, partial.open("wb") as out:
            answer.raise_for_status()
            say(f"downloading {web.url}")
            for chunk in answer.iter_bytes(1 << 20):
                digest.update(chunk)
                out.write(chunk)
        if digest.hexdigest() != web.sha256:
            raise ValueError("its checksum is not the expected one")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _built(kind: Literal["lean", "debian"], cache: Path, say: Say) -> GuestImage:
    directory = cache / f"guest-{kind}-{_recipe()}"
    with _locked(cache / f"guest-{kind}.lock"):
        if not _intact(directory):
            say(f"building the test guest with the {kind} kernel")
            _build(kind, directory)
    facts = json.loads((directory / "cirros.json").read_text())
    return GuestImage(directory / "cirros.qcow2", facts["min_ram"], facts["kernel"])


def _build(kind: str, directory: Path) -> None:
    scratch = Path(tempfile.mkdtemp(prefix=".guest.", dir=directory.parent))
    try:
        command, environment = [HERE / "build.sh", scratch], {**os.environ, "KILONOVA_GUEST_KERNEL": kind}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise GuestUnavailable(f"the test guest could not be built: {done.stderr.strip()[-2000:]}")
        shutil.rmtree(directory, ignore_errors=True)
        scratch.replace(directory)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _recipe() -> str:
    """Changes with every file that makes the guest."""
    digest = hashlib.sha256()
    for file in sorted([*HERE.glob("*.sh"), HERE / "kernel.config", *(HERE / "root").iterdir()]):
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _intact(directory: Path) -> bool:
    try:
        facts = json.loads((directory / "cirros.json").read_text())
        return bool(_sha256(directory / "cirros.qcow2") == facts["sha256"])
    except (OSError, ValueError, KeyError):
        return False


def _sha256(file: Path) -> str:
    with file.open("rb") as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


@contextlib.contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
