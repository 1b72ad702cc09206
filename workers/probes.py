"""Readiness probes of supervised processes, as plain data that fits into the plan file. Standard library only."""

import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from infra.hostnet.netns import entered
from workers import procfs

Kind = Literal["running", "http", "unix", "listen", "reports"]


@dataclass(frozen=True)
class Probe:
    """`running`: alive for `target` seconds; `http`: GET `target` answers below 500 and its body has `text`;
    `unix`: the socket `target` accepts; `listen`: TCP port `target` listens in the process's network namespace;
    `reports`: the process has touched the file `target`, within the last `text` seconds."""

    kind: Kind = "running"
    target: str = "0.2"
    text: str = ""
    netns: str = ""  # network namespace in which `http` asks
    trusted: str = ""  # file of certificates that `http` believes, when `target` is an HTTPS URL

    @property
    def lacks(self) -> str:
        """What is missing while it does not pass, where that is not plain from the process's name."""
        return "the compute API has no report of its host" if self.kind == "reports" else ""

    def passes(self, pid: int, timeout_s: float = 2.0) -> bool:
        try:
            if self.kind == "http":
                return http_answers(self.target, self.text, timeout_s, self.netns, self.trusted)
            if self.kind == "unix":
                return unix_accepts(self.target, timeout_s)
            if self.kind == "listen":
                return procfs.listens(pid, int(self.target))
            if self.kind == "reports":
                return time.time() - Path(self.target).stat().st_mtime < min(float(self.text), procfs.age_s(pid))
            return procfs.age_s(pid) >= float(self.target)
        except OSError:
            return False


def unix_accepts(path: str, timeout_s: float) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(timeout_s)
        sock.connect(path)
        return True


def connection(host: str, port: int, timeout_s: float, netns: str = "") -> socket.socket:
    """A TCP connection made inside `netns`; it stays there, while the thread comes back."""
    with entered(netns):
        return socket.create_connection((host, port), timeout=timeout_s)


def _secured(plain: socket.socket, name: str, trusted: str) -> socket.socket:
    import ssl  # 3 MiB that a supervisor without TLS does without

    try:
        return ssl.create_default_context(cafile=trusted or None).wrap_socket(plain, server_hostname=name)
    except BaseException:
        plain.close()
        raise


def http_answers(url: str, text: str = "", timeout_s: float = 2.0, netns: str = "", trusted: str = "") -> bool:
    """True for a status below 500 and a body that has `text`. Speaks HTTP/1.0 itself, which keeps the caller small."""
    status, body = http_get(url, timeout_s, netns, trusted)
    return 100 <= status < 500 and text in body


def http_get(url: str, timeout_s: float = 2.0, netns: str = "", trusted: str = "") -> tuple[int, str]:
    """Status and raw answer of a GET; (0, "") for something that is not HTTP. OSError when nobody listens."""
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    request = f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\nAccept: application/json\r\n\r\n"
    plain = connection(parts.hostname or "", parts.port or 80, timeout_s, netns)
    with _secured(plain, parts.hostname or "", trusted) if parts.scheme == "https" else plain as sock:
        sock.sendall(request.encode())
        answer = b""
        while len(answer) < 1 << 20 and (chunk := sock.recv(65536)):
            answer += chunk
    text = answer.decode("utf-8", "replace")
    fields = text.split(" ", 2)
    return (int(fields[1]), text) if fields[0].startswith("HTTP/") and len(fields) > 2 else (0, "")
