"""A small image service whose answers a test can spoil, which the real one would never do."""

import hashlib
import json
import threading
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


def respond(request: BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(body)))
    request.end_headers()
    request.wfile.write(body)


def read_body(request: BaseHTTPRequestHandler) -> bytes | None:
    """The body, also a chunked one; None when the sender went away in the middle."""
    if length := request.headers.get("Content-Length"):
        data = request.rfile.read(int(length))
        return data if len(data) == int(length) else None
    found = bytearray()
    while True:
        line = request.rfile.readline()
        if not line:
            return None
        size = int(line, 16)
        found += request.rfile.read(size)
        request.rfile.readline()
        if not size:
            return bytes(found)


class ImageServer:
    """Serves GET /v2/images/{id} and its /file. `hold` stops every download in its middle while it is set."""

    def __init__(self, port: int) -> None:
        self.images: dict[str, dict[str, Any]] = {}
        self.data: dict[str, bytes] = {}
        self.refuse = 0
        self.cut = 0  # how many downloads still end too early
        self.hold = threading.Event()
        self.started = threading.Event()
        self._go = threading.Event()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_GET(self) -> None:
                owner.answer(self)

            def do_POST(self) -> None:
                owner.create(self)

            def do_PUT(self) -> None:
                owner.fill(self)

            def do_DELETE(self) -> None:
                owner.images.pop(self.path.split("/")[3], None)
                respond(self, 204, b"")

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True

    def add(self, data: bytes, **fields: Any) -> str:
        image_id = str(uuid.uuid4())
        self.data[image_id] = data
        self.images[image_id] = {
            "id": image_id,
            "name": "guest",
            "status": "active",
            "size": len(data),
            "disk_format": "raw",
            "container_format": "bare",
            "min_disk": 0,
            "min_ram": 64,
            "checksum": hashlib.md5(data).hexdigest(),
            "os_hash_algo": "sha512",
            "os_hash_value": hashlib.sha512(data).hexdigest(),
            "hw_disk_bus": "virtio",
        } | fields
        return image_id

    def release(self) -> None:
        self.hold.clear()
        self._go.set()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        if request.path == "/":
            self.discovery(request)
            return
        parts = request.path.strip("/").split("/")
        image = self.images.get(parts[2]) if len(parts) > 2 else None
        if image is None:
            request.send_error(404)
            return
        body = self.data[image["id"]] if parts[-1] == "file" else json.dumps(image).encode()
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        if parts[-1] == "file":
            half = len(body) // 2
            request.wfile.write(body[:half])
            self.started.set()
            if self.cut:
                self.cut -= 1
                request.close_connection = True
                return
            if self.hold.is_set():
                self._go.wait(20)
            body = body[half:]
        try:
            request.wfile.write(body)
        except OSError:
            request.close_connection = True

    def create(self, request: BaseHTTPRequestHandler) -> None:
        """POST /v2/images: `refuse` is the status with which it is refused."""
        wanted = json.loads(request.rfile.read(int(request.headers["Content-Length"])))
        if self.refuse:
            request.send_error(self.refuse)
            return
        self.images[wanted["id"]] = wanted | {"status": "queued", "size": None}
        respond(request, 201, json.dumps(self.images[wanted["id"]]).encode())

    def fill(self, request: BaseHTTPRequestHandler) -> None:
        """PUT /v2/images/{id}/file. While `hold` is set, the data stays unread for a while."""
        image = self.images[request.path.split("/")[3]]
        image["status"] = "saving"
        self.started.set()
        if self.hold.is_set():
            self._go.wait(20)
        data = read_body(request)
        if data is None or image["id"] not in self.images:
            image["status"] = "queued"
            request.close_connection = True
            return
        self.data[image["id"]] = data
        image |= {"status": "active", "size": len(data), "os_hash_algo": "sha512"}
        image["os_hash_value"] = hashlib.sha512(data).hexdigest()
        respond(request, 204, b"")

    def discovery(self, request: BaseHTTPRequestHandler) -> None:
        link = {"rel": "self", "href": f"http://127.0.0.1:{self._server.server_port}/v2/"}
        body = json.dumps({"versions": [{"id": "v2.17", "status": "CURRENT", "links": [link]}]}).encode()
        request.send_response(300)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def __enter__(self) -> "ImageServer":
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
        self._server.shutdown()
        self._server.server_close()
