"""A command that makes a large file, looked at while it does."""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from infra.contracts.errors import host_cannot
from infra.interruption import still_wanted

LOOK_S = 0.1
BLOCK = 512  # bytes, in which st_blocks counts


def held(file: Path) -> int:
    """Bytes that it takes on the disk; 0 when it is absent."""
    with contextlib.suppress(FileNotFoundError):
        return file.stat().st_blocks * BLOCK
    return 0


def copying(argv: list[str], partial: Path) -> Iterator[int]:
    """How much of the copy there is, again and again until it is complete."""
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tool:
        try:
            while tool.poll() is None:
                still_wanted()
                yield held(partial)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    tool.wait(LOOK_S)
        except BaseException:
            tool.kill()
            raise
        words = tool.communicate()[1]
    if tool.returncode:
        partial.unlink(missing_ok=True)
        raise host_cannot(f"the disk could not be copied: {words.strip()[-200:]}")
