"""A PostgreSQL server of its own for tests, on a free port of loopback, where the machine has PostgreSQL."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

SERVICES = ("keystone", "glance", "network", "volume", "compute")


def tool(name: str) -> str | None:
    """Debian keeps the servers' programs off PATH, a directory a version."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name), reverse=True)
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, versions)))


class Server:
    """One cluster. What dies of it is started again within a second, until `stop`.

    `tls`: certificate and key of the server, which then takes no connection without TLS."""

    def __init__(self, port: int, tls: tuple[Path, Path] | None = None) -> None:
        self.port, self.url = port, f"postgresql+psycopg://postgres@127.0.0.1:{port}"
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))
        self._who: dict[str, Any] = {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}
        if self._who:
            shutil.chown(self.folder, "postgres", "postgres")
        data = ["-D", str(self.folder / "data")]
        init = [str(tool("initdb")), *data, "-A", "trust", "-U", "postgres", "--no-sync"]
        subprocess.run(init, check=True, cwd="/", stdout=subprocess.DEVNULL, **self._who)
        self._argv = [str(tool("postgres")), *data, "-p", str(port), "-h", "127.0.0.1", "-k", str(self.folder)]
        self._argv += ["-c", "fsync=off", "-c", "max_connections=300"]
        if tls:
            self._argv += self._tls(*tls)
        self._ending = threading.Event()
        self._process = self._start()
        self._keeper = threading.Thread(target=self._keep)
        self._keeper.start()
        self._until_ready()

    @property
    def pid(self) -> int:
        return self._process.pid

    def _tls(self, certificate: Path, key: Path) -> list[str]:
        for name, file in (("cert.pem", certificate), ("key.pem", key)):
            shutil.copyfile(file, self.folder / name)
            (self.folder / name).chmod(0o600)
            if self._who:
                shutil.chown(self.folder / name, "postgres", "postgres")
        (self.folder / "data" / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 trust\n")
        files = {"ssl_cert_file": self.folder / "cert.pem", "ssl_key_file": self.folder / "key.pem"}
        return ["-c", "ssl=on", *(part for name, file in files.items() for part in ("-c", f"{name}={file}"))]

    def _start(self) -> subprocess.Popen[bytes]:
        with (self.folder / "log").open("ab") as log:
            return subprocess.Popen(self._argv, cwd="/", stdout=log, stderr=log, **self._who)

    def _keep(self) -> None:
        while not self._ending.wait(0.5):
            if self._process.poll() is not None:
                self._process = self._start()  # refuses while a backend of the dead one still ends

    def _until_ready(self) -> None:
        ready = [str(tool("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        end = time.monotonic() + 30
        while subprocess.run(ready, check=False).returncode:
            if time.monotonic() > end:
                raise TimeoutError((self.folder / "log").read_text()[-2000:])
            time.sleep(0.1)

    def databases(self) -> str:
        """A database for each service; the template of their URLs."""
        for service in SERVICES:
            subprocess.run(
                [
                    str(tool("createdb")),
                    "-h",
                    "127.0.0.1",
                    "-p",
                    str(self.port),
                    "-U",
                    "postgres",
                    f"kilonova_{service}",
                ],
                check=True,
            )
        return f"{self.url}/kilonova_{{service}}"

    def stop(self) -> None:
        self._ending.set()
        self._keeper.join()
        self._process.send_signal(signal.SIGINT)  # a fast shutdown, which waits for no client
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.folder)


@contextmanager
def postgres(port: int, tls: tuple[Path, Path] | None = None) -> Iterator[Server]:
    """The server; the test is skipped where there is no PostgreSQL to run."""
    if not all(tool(name) for name in ("initdb", "postgres", "pg_isready", "createdb")):
        pytest.skip("no PostgreSQL on this machine")
    server = Server(port, tls)
    try:
        yield server
    finally:
        server.stop()
