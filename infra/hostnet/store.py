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
from infra.hostnet.topology import Network, Router
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


class NetworkRecord(BaseModel):
    """What the network service told this host of a network, and the bridge that it lies on here."""

    netns: str
    bridge: str
    network: Network


class RouterRecord(BaseModel):
    """A router that this host is to serve; `bridges`: network id → bridge, for each of its ports."""

    netns: str
    bridges: dict[str, str]
    router: Router


class SpaceRecord(BaseModel):
    """A namespace that we made for a network; `bridge` is where its pair leads."""

    name: str
    bridge: str
    label: str = ""  # the network's name, for people


PLUGS = TypeAdapter(PlugRecord)
FILTERS = TypeAdapter(list[PortFilter])
BRIDGE = TypeAdapter(BridgeRecord)
NETWORK = TypeAdapter(NetworkRecord)
ROUTER = TypeAdapter(RouterRecord)
SPACE = TypeAdapter(SpaceRecord)
SETS = TypeAdapter(dict[str, list[str]])


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
        # Hosts that share a namespace load the same tables there, whichever of them has a tunnel.
        self.short_ways = settings.short_ways
        self.tunnelled = bool(settings.netns or settings.tunnel_ip)
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

    @contextlib.contextmanager
    def trunks_lock(self) -> Iterator[None]:
        """As `lock`; others may be taken under it."""
        with self._locked(self.run / "locks" / "trunks"):
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

    def put_network(self, record: NetworkRecord) -> bool:
        """Whether this is news."""
        return write_atomic(self._host / "networks" / f"{record.network.id}.json", record.model_dump_json())

    def own_network(self, network_id: str) -> NetworkRecord | None:
        return self._read(self._host / "networks" / f"{network_id}.json", NETWORK)

    def own_networks(self) -> list[str]:
        return [file.stem for file in self._host.glob("networks/*.json")]

    def drop_network(self, network_id: str) -> None:
        (self._host / "networks" / f"{network_id}.json").unlink(missing_ok=True)

    def networks(self) -> dict[str, NetworkRecord]:
        """Networks that this namespace was told of, by id; of several hosts that share it, the one with DHCP counts."""
        top, pattern = self._hosts
        found: dict[str, NetworkRecord] = {}
        for record in (self._read(file, NETWORK) for file in sorted(top.glob(f"{pattern}/networks/*.json"))):
            known = record and found.get(record.network.id)
            if record and record.netns == self.netns and not (known and known.network.serves_dhcp):
                found[record.network.id] = record
        return found

    def put_router(self, record: RouterRecord) -> bool:
        """Whether this is news."""
        return write_atomic(self._host / "routers" / f"{record.router.id}.json", record.model_dump_json())

    def own_router(self, router_id: str) -> RouterRecord | None:
        return self._read(self._host / "routers" / f"{router_id}.json", ROUTER)

    def own_routers(self) -> list[str]:
        return [file.stem for file in self._host.glob("routers/*.json")]

    def drop_router(self, router_id: str) -> None:
        (self._host / "routers" / f"{router_id}.json").unlink(missing_ok=True)

    def routers(self) -> dict[str, RouterRecord]:
        """Routers that are to be served in this namespace, by id."""
        top, pattern = self._hosts
        found = [self._read(file, ROUTER) for file in sorted(top.glob(f"{pattern}/routers/*.json"))]
        return {record.router.id: record for record in found if record and record.netns == self.netns}

    def others(self) -> set[str]:
        """Ids of the networks and routers that other hosts in this namespace were told of."""
        top, pattern = self._hosts
        files = [file for kind in ("networks", "routers") for file in top.glob(f"{pattern}/{kind}/*.json")]
        return {file.stem for file in files if file.parent.parent != self._host}

    def put_space(self, network_id: str, record: SpaceRecord) -> None:
        write_atomic(self.run / "spaces" / f"{network_id}.json", record.model_dump_json())

    def spaces(self) -> dict[str, SpaceRecord]:
        """Namespaces that were made for networks, by network id."""
        found = {file.stem: self._read(file, SPACE) for file in sorted(self.run.glob("spaces/*.json"))}
        return {network_id: record for network_id, record in found.items() if record}

    def drop_space(self, network_id: str) -> None:
        (self.run / "spaces" / f"{network_id}.json").unlink(missing_ok=True)

    @property
    def space_prefixes(self) -> tuple[str, ...]:
        """What the names of all our networks' and routers' namespaces begin with."""
        return self.space_name("net", ""), self.space_name("router", "")

    @property
    def waiting(self) -> str:
        """Name of the namespace that a provider network gets when it is made: commands wait for it there."""
        return f"{self.netns}-provider" if self.netns else ""

    def space_name(self, kind: str, identifier: str) -> str:
        """Name of the namespace of a network ("net") or router ("router")."""
        return f"{self.netns or f'kilonova-{self.tag}'}-{kind}-{identifier}"

    def put_filters(self, filters: list[PortFilter]) -> None:
        text = FILTERS.dump_json(sorted(filters, key=lambda f: f.id)).decode()
        write_atomic(self._host / "filters.json", text)

    def put_sets(self, sets: dict[str, list[str]]) -> None:
        write_atomic(self._host / "sets.json", SETS.dump_json(sets).decode())

    def sets(self) -> dict[str, list[str]]:
        """Members of groups by the name that rules give; the newest that any host of this namespace was told."""
        top, pattern = self._hosts
        files = sorted(top.glob(f"{pattern}/sets.json"), key=lambda file: file.stat().st_mtime_ns)
        return {name: members for file in files for name, members in (self._read(file, SETS) or {}).items()}

    def own_filters(self) -> list[PortFilter]:
        return self._read(self._host / "filters.json", FILTERS) or []

    def own_sets(self) -> dict[str, list[str]]:
        return self._read(self._host / "sets.json", SETS) or {}

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
