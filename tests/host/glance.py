"""A small real image service over HTTP: Range, checksums, and the faults that networks and operators have."""

import hashlib
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


@dataclass
class StoredImage:
    data: bytes
    disk_format: str = "qcow2"
    status: str = "active"
    digest: str = ""

    def facts(self, image_id: str) -> dict[str, Any]:
        return {
            "id": image_id,
            "status": self.status,
            "size": len(self.data),
            "disk_format": self.disk_format,
            "checksum": hashlib.md5(self.data).hexdigest(),
            "os_hash_algo": "sha512",
            "os_hash_value": self.digest or hashlib.sha512(self.data).hexdigest(),
        }


@dataclass
class Glance:
    """`chunk_pause` seconds after each 64 KiB; `cut_after` closes the next download after so many bytes."""

    port: int
    images: dict[str, StoredImage] = field(default_factory=dict)
    downloads: list[tuple[str, str]] = field(default_factory=list)  # (image id, Range header)
    sent: int = 0
    chunk_pause: float = 0.0
    cut_after: int = 0
    ignore_range: bool = False

    def reset(self) -> None:
        self.images, self.downloads, self.sent = {}, [], 0
        self.chunk_pause, self.cut_after, self.ignore_range = 0.0, 0, False

    def __enter__(self) -> Self:
        handler = type("Handler", (_Handler,), {"glance": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    glance: Glance
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        if not self.headers.get("X-Auth-Token"):
            return self._json(401, {"error": {"message": "no token"}})
        parts = self.path.strip("/").split("/")
        image = self.glance.images.get(parts[2]) if len(parts) > 2 else None
        if image is None:
            return self._json(404, {"message": "No image found"})
        if len(parts) == 3:
            return self._json(200, image.facts(parts[2]))
        return self._file(parts[2], image)

    def _json(self, status: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _file(self, image_id: str, image: StoredImage) -> None:
        asked = self.headers.get("Range", "")
        self.glance.downloads.append((image_id, asked))
        start = 0 if self.glance.ignore_range or not asked else int(asked.removeprefix("bytes=").rstrip("-"))
        body = image.data[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(image.data) - 1}/{len(image.data)}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        cut, self.glance.cut_after = self.glance.cut_after, 0
        for offset in range(0, len(body), 1 << 16):
            chunk = body[offset : offset + (1 << 16)]
            if cut and offset >= cut:
                self.close_connection = True
                return
            try:
                self.wfile.write(chunk)
            except OSError:
                self.close_connection = True
                return
            self.glance.sent += len(chunk)
            time.sleep(self.glance.chunk_pause)
