"""The files behind a host's network: port files that survive a reboot, records of what was made, locks."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from infra.hostnet.models import PortFilter, PortPlug
from infra.settings import Settings

RUN_ROOT = Path("/run/kilonova")
LOCKS = 16
T = TypeVar("T")


class PlugRecord(BaseModel):
    """A port file: the port, the namespace and bridge that it was plugged into."""

    netns: str
    bridge: str
    port: PortPlug


class BridgeRecord(BaseModel):
    """What we did to a bridge, hence what has to be undone: made it, switched filtering on, gave it addresses."""

    made: bool = False
    filtering: bool = False
    zone: int = 0  # conntrack zone; 0 (the host's own) on a bridge that is not ours
    addresses: list[str] = []


PLUGS = TypeAdapter(PlugRecord)
FILTERS = TypeAdapter(list[PortFilter])
BRIDGE = TypeAdapter(BridgeRecord)


def write_atomic(file: Path, text: str, mode: int = 0o600) -> bool:
    """Replace `file` by `text` unless it says so already; whether it changed. A reader sees the old or the new."""
    with contextlib.suppress(FileNotFoundError):
        if file.read_text() == text:
            return False
    file.parent.mkdir(parents=True, exist_ok=True)
    fd, name = tempfile.mkstemp(dir=file.parent, prefix=".")
    try:
        with os.fdopen(fd, "w") as stream:
            stream.write(text)
            os.fchmod(fd, mode)
        Path(name).replace(file)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return True


class Store:
    """Thread-safe and process-safe access to those files.

    Port and filter files lie in STATE/hosts/<host>. Everything about kernel objects lies in a directory below /run,
    since it must live as long as they do, and dnsmasq must reach its part without being root.
    """

    def __init__(self, settings: Settings) -> None:
        state = settings.state_dir.resolve()
        self.netns = settings.netns
        self.tag = hashlib.sha256(str(state).encode()).hexdigest()[:8]
        self.run = RUN_ROOT / f"{settings.netns or 'host'}-{self.tag}"
        self._host = state / "hosts" / settings.host
        # Hosts that share a namespace on one machine share its bridges; the host's own network belongs to one host.
        self._hosts = (state / "hosts", "*") if settings.netns else (state / "hosts", settings.host)
        self._cache: dict[Path, tuple[tuple[int, int], Any]] = {}
        self._mutex = threading.Lock()

    @contextlib.contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Exclusive among threads and processes of this machine. Never nested: two names may share a file."""
        stream = self._locked(self.run / "locks" / f"{zlib.crc32(name.encode()) % LOCKS:02}")
        with stream:
            yield

    @staticmethod
    def _locked(file: Path) -> IO[str]:
        while True:
            file.parent.mkdir(parents=True, exist_ok=True)
            try:
                stream = file.open("w")
                fcntl.flock(stream, fcntl.LOCK_EX)
                if file.stat().st_ino == os.fstat(stream.fileno()).st_ino:
                    return stream
                stream.close()
            except FileNotFoundError:
                continue  # erased while we waited

    def _read(self, file: Path, adapter: TypeAdapter[T]) -> T | None:
        try:
            status = file.stat()
            stamp = (status.st_mtime_ns, status.st_ino)
            with self._mutex:
                known = self._cache.get(file)
            if known is None or known[0] != stamp:
                known = (stamp, adapter.validate_json(file.read_bytes()))
                with self._mutex:
                    self._cache[file] = known
        except FileNotFoundError:
            with self._mutex:
                self._cache.pop(file, None)
            return None
        value: T = known[1]
        return value

    def _port_file(self, port_id: str) -> Path:
        return self._host / "ports" / f"{port_id}.json"

    def port(self, port_id: str) -> PlugRecord | None:
        return self._read(self._port_file(port_id), PLUGS)

    def put_port(self, record: PlugRecord) -> None:
        write_atomic(self._port_file(record.port.port_id), record.model_dump_json(indent=1))

    def drop_port(self, port_id: str) -> None:
        file = self._port_file(port_id)
        file.unlink(missing_ok=True)
        with self._mutex:
            self._cache.pop(file, None)

    def own_ports(self) -> list[PlugRecord]:
        """Ports plugged on this host, sorted by id."""
        return self._plugged(self._host.glob("ports/*.json"))

    def ports(self) -> list[PlugRecord]:
        """Ports plugged into this namespace, by every host that shares it, sorted by id."""
        top, pattern = self._hosts
        return self._plugged(top.glob(f"{pattern}/ports/*.json"))

    def _plugged(self, files: Iterator[Path]) -> list[PlugRecord]:
        records = [self._read(file, PLUGS) for file in files]
        return sorted((r for r in records if r and r.netns == self.netns), key=lambda r: r.port.port_id)

    def put_filters(self, filters: list[PortFilter]) -> None:
        text = FILTERS.dump_json(sorted(filters, key=lambda f: f.id)).decode()
        write_atomic(self._host / "filters.json", text)

    def filters(self) -> dict[str, PortFilter]:
        top, pattern = self._hosts
        files = sorted(top.glob(f"{pattern}/filters.json"))
        return {entry.id: entry for file in files for entry in self._read(file, FILTERS) or []}

    def bridge(self, name: str) -> BridgeRecord | None:
        return self._read(self.run / "bridges" / f"{name}.json", BRIDGE)

    def bridges(self) -> dict[str, BridgeRecord]:
        found = {file.stem: self._read(file, BRIDGE) for file in sorted(self.run.glob("bridges/*.json"))}
        return {name: record for name, record in found.items() if record}

    def put_bridge(self, name: str, record: BridgeRecord) -> None:
        write_atomic(self.run / "bridges" / f"{name}.json", record.model_dump_json())

    def drop_bridge(self, name: str) -> None:
        (self.run / "bridges" / f"{name}.json").unlink(missing_ok=True)

    def erase(self) -> None:
        """Forget everything below /run; the port files stay, for guests that are to be plugged again."""
        shutil.rmtree(self.run, ignore_errors=True)
        with contextlib.suppress(OSError):
            RUN_ROOT.rmdir()
