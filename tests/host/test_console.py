"""The console proxy as a process: pages for everybody, screens only behind tokens that work once."""

import base64
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from api.compute.records import consoles
from tests.host.cloud import Cloud, new_id, until

ROOT = Path(__file__).parents[2]


class Screen:
    """A VNC server, as far as a proxy can tell: greets, then answers what it gets, doubled."""

    def __init__(self, listener: socket.socket) -> None:
        self.listener = listener
        listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            with client:
                client.sendall(b"RFB 003.008\n")
                while got := client.recv(100):
                    client.sendall(got + got)


@pytest.fixture(scope="module")
def proxy(cloud: Cloud) -> Iterator[Path]:
    """The running proxy's log."""
    settings = cloud.settings
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("OS_", "KILONOVA_"))}
    env = kept | {"KILONOVA_STATE_DIR": str(settings.state_dir), "KILONOVA_PORT_OFFSET": str(settings.port_offset)}
    code = "from infra.settings import Settings; from workers.console import run_console; run_console(Settings())"
    log = settings.log_dir / "console.log"
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-c", code], env=env, cwd=ROOT, stdout=out, stderr=out)

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", settings.port("console"))) == 0

    until(listens)
    yield log
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0, log.read_text()


class WebSocket:
    """Just enough of RFC 6455 for one small frame each way."""

    def __init__(self, cloud: Cloud, path: str, origin: str = "") -> None:
        self.socket = socket.create_connection(("127.0.0.1", cloud.settings.port("console")), timeout=10)
        here = f"127.0.0.1:{cloud.settings.port('console')}"
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", f"Host: {here}", f"Origin: {origin or 'http://' + here}"]
        lines += ["Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Key: {key}"]
        lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Protocol: binary"]
        self.socket.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n") and (byte := self.socket.recv(1)):
            head += byte
        self.status = int(head.split()[1]) if head else 0

    def receive(self) -> bytes:
        first, length = self._exactly(2)
        assert first == 0x82 and length < 126
        return self._exactly(length)

    def send(self, data: bytes) -> None:
        self.socket.sendall(bytes([0x82, 0x80 | len(data), 0, 0, 0, 0]) + data)

    def _exactly(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += self.socket.recv(size - len(got)) or pytest.fail("closed")
        return got


def test_pages_need_no_token_and_list_nothing(cloud: Cloud, proxy: Path) -> None:
    base = f"http://127.0.0.1:{cloud.settings.port('console')}"
    with httpx.Client(verify=False) as http:
        page = http.get(f"{base}/vnc_auto.html?path=%3Ftoken%3Dabc", follow_redirects=True)
        assert page.url.params["autoconnect"] == "true" and page.url.params["path"] == "?token=abc"
        assert page.status_code == 200 and "noVNC" in page.text
        assert http.get(f"{base}/core/rfb.js").status_code == 200
        assert http.get(f"{base}/core/").status_code == 404
        assert http.get(f"{base}/../../etc/passwd").status_code == 404


@pytest.mark.parametrize("kind", ["unix", "tcp"])
def test_a_token_opens_one_screen_once(cloud: Cloud, proxy: Path, tmp_path: Path, kind: str) -> None:
    listener = socket.socket(socket.AF_UNIX if kind == "unix" else socket.AF_INET)
    listener.bind(str(tmp_path / "vnc") if kind == "unix" else ("127.0.0.1", 0))
    target = f"unix_socket:{tmp_path / 'vnc'}" if kind == "unix" else f"127.0.0.1:{listener.getsockname()[1]}"
    screen = Screen(listener)
    token = consoles.grant(cloud.compute, new_id(), target)
    first = WebSocket(cloud, f"/?token={token}")
    assert first.status == 101 and first.receive() == b"RFB 003.008\n"
    first.send(b"hello")
    assert first.receive() == b"hellohello"
    assert WebSocket(cloud, f"/?token={token}").status == 403, "it worked twice"
    first.socket.close()
    screen.listener.close()
    assert token not in proxy.read_text()


def test_refusals(cloud: Cloud, proxy: Path) -> None:
    assert WebSocket(cloud, "/").status == 403
    assert WebSocket(cloud, "/?token=guessed").status == 403
    token = consoles.grant(cloud.compute, new_id(), "127.0.0.1:9")
    assert WebSocket(cloud, f"/?token={token}", origin="http://evil.example").status == 403
    assert WebSocket(cloud, f"/?token={token}").status == 502, "a page from elsewhere used the token up"
    assert "guessed" not in proxy.read_text() and token not in proxy.read_text()


def test_a_link_in_the_screens_place_leads_nowhere(cloud: Cloud, proxy: Path, tmp_path: Path) -> None:
    """Mechanism: O_NOFOLLOW. QEMU's user owns the directory of its screen's socket, and the proxy is root."""
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(tmp_path / "libvirt-sock"))
        Screen(other)
        (tmp_path / "vnc").symlink_to(tmp_path / "libvirt-sock")
        token = consoles.grant(cloud.compute, new_id(), f"unix_socket:{tmp_path / 'vnc'}")
        assert WebSocket(cloud, f"/?token={token}").status == 502
