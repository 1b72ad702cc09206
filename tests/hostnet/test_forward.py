"""The forwarder as a process of its own, with real connections from inside a namespace."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from infra.hostnet import links, netns
from tests.hostnet.conftest import tcp_open


def rss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def open_files(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


@pytest.fixture
def namespace() -> Iterator[str]:
    name = f"kf{uuid.uuid4().hex[:8]}"
    yield name
    netns.remove(name)


@pytest.fixture
def service() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)
        yield server


@pytest.fixture
def forwarder(namespace: str, service: socket.socket) -> Iterator[subprocess.Popen[bytes]]:
    target = f"127.0.0.1:{service.getsockname()[1]}"
    command = [sys.executable, "-m", "infra.hostnet.forward", "--netns", namespace, target]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    yield process
    process.terminate()
    assert process.wait(5) == 0
    assert process.stderr
    process.stderr.close()


def up(namespace: str) -> None:
    netns.create(namespace)
    links.apply(namespace, ["link set dev lo up"])


def connect(namespace: str, service: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection through the forwarder, from inside the namespace."""
    port = service.getsockname()[1]
    for _ in range(50):
        inside = tcp_open(namespace, "127.0.0.1", port, 5)
        if inside:
            outside, _ = service.accept()
            outside.settimeout(5)
            return inside, outside
        time.sleep(0.1)
    raise AssertionError("nobody listens inside the namespace")


def test_it_waits_for_the_namespace_and_follows_a_new_one(
    namespace: str, service: socket.socket, forwarder: subprocess.Popen[bytes]
) -> None:
    assert forwarder.stderr
    assert b"waiting" in forwarder.stderr.readline()
    for _ in range(2):
        up(namespace)
        inside, outside = connect(namespace, service)
        with inside, outside:
            inside.sendall(b"hello")
            assert outside.recv(10) == b"hello"
        netns.remove(namespace)
        time.sleep(0.6)
    print("RSS KiB", rss_kib(forwarder.pid))
    assert rss_kib(forwarder.pid) < 40_000


@pytest.mark.usefixtures("forwarder")
def test_one_direction_may_end_before_the_other(namespace: str, service: socket.socket) -> None:
    up(namespace)
    inside, outside = connect(namespace, service)
    with inside, outside:
        inside.sendall(b"request")
        inside.shutdown(socket.SHUT_WR)
        assert outside.makefile("rb").read() == b"request"
        outside.sendall(b"answer")
        outside.close()
        assert inside.makefile("rb").read() == b"answer"


def test_a_slow_reader_holds_the_sender_back(
    namespace: str, service: socket.socket, forwarder: subprocess.Popen[bytes]
) -> None:
    up(namespace)
    inside, outside = connect(namespace, service)
    block, total = os.urandom(1 << 20), 48
    before = rss_kib(forwarder.pid)

    def send() -> None:
        for _ in range(total):
            outside.sendall(block)
        outside.close()

    sender = threading.Thread(target=send)
    sender.start()
    time.sleep(0.5)
    assert sender.is_alive()
    assert rss_kib(forwarder.pid) - before < 8000
    digest = hashlib.sha256()
    with inside, inside.makefile("rb") as stream:
        while data := stream.read(1 << 20):
            digest.update(data)
    sender.join()
    assert digest.digest() == hashlib.sha256(block * total).digest()


def test_a_refused_or_reset_connection_ends_on_both_sides_and_leaves_no_socket(
    namespace: str, service: socket.socket, forwarder: subprocess.Popen[bytes]
) -> None:
    up(namespace)
    port = service.getsockname()[1]
    inside, outside = connect(namespace, service)
    files = open_files(forwarder.pid)
    outside.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    outside.close()
    with inside, pytest.raises(ConnectionResetError):
        inside.recv(10)
    service.close()
    if refused := tcp_open(namespace, "127.0.0.1", port, 5):  # else it was reset while it connected
        with refused, pytest.raises(ConnectionResetError):
            refused.recv(10)
    end = time.monotonic() + 10
    while open_files(forwarder.pid) != files - 2:
        assert time.monotonic() < end, "a socket stays"
        time.sleep(0.05)
