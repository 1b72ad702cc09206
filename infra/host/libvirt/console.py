"""What a guest wrote to its serial port, and where its screen is."""

import os
from pathlib import Path
from xml.etree import ElementTree

OUTPUT_LIMIT = 100 * 1024  # bytes that one answer may have, as in Nova
SOCKET = "unix_socket:"
LOG_LIMIT, LOG_KEPT = 4 << 20, 1 << 20  # a guest must not fill its host's disk by talking


def tail(file: Path, lines: int | None) -> str:
    """The last `lines` lines (None: all) of `file`, at most OUTPUT_LIMIT bytes; "" when there is none."""
    if lines == 0:
        return ""
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - OUTPUT_LIMIT))
            text = stream.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    if lines is None or lines < 0:
        return text
    return "".join(text.splitlines(keepends=True)[-lines:])


def trim(file: Path) -> None:
    """Keep the end of a log that has grown too long. QEMU appends, so that it goes on where the file ends then."""
    try:
        with file.open("r+b") as stream:
            if stream.seek(0, os.SEEK_END) <= LOG_LIMIT:
                return
            stream.seek(-LOG_KEPT, os.SEEK_END)
            kept = stream.read()
            stream.seek(0)
            stream.write(kept)
            stream.truncate()
    except FileNotFoundError:
        return


def serial_target(xml: str) -> str | None:
    """`unix_socket:PATH` from the XML of a running domain; None when nobody can be connected to its serial port."""
    source = ElementTree.fromstring(xml).find("./devices/serial[@type='unix']/source")  # noqa: S314 - libvirt wrote it
    path = source.get("path") if source is not None else None
    return f"{SOCKET}{path}" if path else None


def vnc_target(xml: str) -> str | None:
    """`unix_socket:PATH` or `host:port` from the XML of a running domain; None without a screen."""
    graphics = ElementTree.fromstring(xml).find("./devices/graphics[@type='vnc']")  # noqa: S314 - libvirt wrote it
    if graphics is None:
        return None
    listen = graphics.find("listen")
    path = graphics.get("socket") or (listen.get("socket") if listen is not None else None)
    if path:
        return f"{SOCKET}{path}"
    port = graphics.get("port", "-1")
    if not port.isdigit():
        return None
    return f"{graphics.get('listen') or '127.0.0.1'}:{port}"
