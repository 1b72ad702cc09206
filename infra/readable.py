"""Whether a connection that is kept still has its other end."""

import select
import socket


def readable(connection: socket.socket) -> bool:
    """Whether anything can be read at once. Where no answer is due, only the connection's end is."""
    waits = select.poll()
    waits.register(connection, select.POLLIN)
    return bool(waits.poll(0))
