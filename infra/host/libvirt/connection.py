"""The connection to libvirt: opened when needed, every call bounded in time, lost and found again."""

import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

import libvirt

from infra import logs
from infra.host.libvirt.faults import LibvirtDown, conceal, is_connection_loss

T = TypeVar("T")
KEEPALIVE_S, KEEPALIVE_COUNT = 5, 3  # a libvirtd that hangs is noticed within 15 seconds
log = logs.get(__name__)
_loop_lock = threading.Lock()
_loop_runs = False


def run_event_loop() -> None:
    """libvirt's event loop in a thread of its own, once per process; keepalive and lifecycle events need it.

    It must exist before the first connection is opened."""
    global _loop_runs
    with _loop_lock:
        if _loop_runs:
            return
        libvirt.registerErrorHandler(lambda _context, _error: None, None)  # errors are raised; no copy on stderr
        libvirt.virEventRegisterDefaultImpl()
        threading.Thread(target=_loop, name="libvirt-events", daemon=True).start()
        _loop_runs = True


def _loop() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            log.warning("libvirt event loop", error=str(error))
            time.sleep(0.1)


class Connection:
    """Thread-safe. `on_open(virConnect, again)` runs after each opening; `again` is False the first time."""

    def __init__(self, uri: str, on_open: Callable[[Any, bool], None] | None = None) -> None:
        self._uri, self._on_open = uri, on_open
        self._opening = threading.Lock()
        self._connection: Any = None
        self._opened = False
        self._pool = ThreadPoolExecutor(max_workers=16, thread_name_prefix="libvirt")

    def call(self, work: Callable[[Any], T], timeout: float = 30.0) -> T:
        """`work(virConnect)`, opened first if need be. Raises LibvirtDown when the connection is lost or there is no
        answer in `timeout` seconds (then whether `work` took effect is unknown), else libvirtError as it comes."""
        future = self._pool.submit(self._do, work)
        try:
            return future.result(timeout)
        except FutureTimeout as error:
            future.cancel()
            self._drop("no answer in time")
            raise LibvirtDown(f"libvirt did not answer within {timeout:g} s") from error

    def ensure(self, timeout: float = 30.0) -> None:
        """There is a connection. Raises LibvirtDown."""
        future = self._pool.submit(self._open)
        try:
            future.result(timeout)
        except FutureTimeout as error:
            future.cancel()
            raise LibvirtDown(f"libvirt did not answer within {timeout:g} s") from error

    def _do(self, work: Callable[[Any], T]) -> T:
        connection = self._open()
        try:
            return work(connection)
        except libvirt.libvirtError as error:
            conceal(error)
            if is_connection_loss(error) or not connection.isAlive():
                self._drop(str(error))
                raise LibvirtDown(f"connection to libvirt lost: {error}") from error
            raise

    def _open(self) -> Any:
        with self._opening:
            known = self._connection
            if known is not None and known.isAlive():
                return known
            try:
                connection = libvirt.open(self._uri)
            except libvirt.libvirtError as error:
                raise LibvirtDown(f"libvirt is not reachable: {error}") from error
            with contextlib.suppress(libvirt.libvirtError):  # a driver within this process has nothing to keep alive
                connection.setKeepAlive(KEEPALIVE_S, KEEPALIVE_COUNT)
            if self._on_open:
                self._on_open(connection, self._opened)
            if self._opened:
                log.info("libvirt connection opened again")
            self._connection, self._opened = connection, True
            return connection

    def _drop(self, reason: str) -> None:
        """Forget the connection; closing it would wait for calls that hang on it, and so would the opening's lock."""
        if self._connection is not None:
            log.warning("libvirt connection dropped", reason=reason)
        self._connection = None
