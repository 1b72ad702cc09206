"""What a process that runs for long does without: parts of libraries that are imported wherever they are installed."""

import sys

OPTIONAL = ("grpc", "osprofiler", "pygments", "rich")
"""gRPC's Python stubs beside Temporal's own core, a profiler beside keystoneauth's sessions (and half of Oslo with it),
coloured tracebacks beside JSON logs, httpx's command line: 20 MiB and a third of a second a process."""


def leave_out(*more: str) -> None:
    """Let imports of OPTIONAL and `more` fail from now on, as where they are not installed. What is imported stays."""
    for name in (*OPTIONAL, *more):
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # documented: "the import system"
