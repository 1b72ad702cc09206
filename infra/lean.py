"""What a process that runs for long does without: parts of libraries that are imported wherever they are installed."""

import sys

OPTIONAL = ("grpc", "osprofiler", "pygments", "rich")
"""gRPC's Python stubs beside Temporal's own core, a profiler beside keystoneauth's sessions (and half of Oslo with it),
coloured tracebacks beside JSON logs, httpx's command line: 20 MiB and a third of a second a process."""


def leave_out(*names: str) -> None:
    """Let imports of `names` fail from now on, as where they are not installed. What is imported already stays."""
    for name in names:
        sys.modules.setdefault(name, None)  # type: ignore[arg-type]  # documented: "the import system"
