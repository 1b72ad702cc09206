"""How long, how large and how many: what an HTTP connection to one of our services may be."""

HEAD_BYTES = 65_536
"""Request line and headers together; a Fernet token with a large catalog's worth of roles needs a few KiB of it."""
QUERY_PARAMETERS = 1000
HEAD_S = 15.0
"""From the first byte of a request to the end of its headers."""
BODY_IDLE_S = 30.0
"""Between two pieces of a body."""
BODY_S = 120.0
"""A whole body that is read before it is looked at."""
IDLE_S = 30.0
"""A connection between two requests."""
LINGER_S = 2.0
"""A client that goes on sending after the answer."""
WRITE_S = 60.0
"""A client that does not take its answer."""
PIPELINED = 8
"""Requests that one connection may send ahead of their answers."""
CONNECTIONS = 4096
"""Of one service, where the process may open that many files."""
