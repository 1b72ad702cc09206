"""The name of the code that a worker runs, which Temporal notes with each of its tasks."""

from functools import cache
from hashlib import sha256
from pathlib import Path

ROOMS = ("activities", "infra", "workflows")


@cache
def build_id(root: Path = Path(__file__).parents[1]) -> str:
    """Another one whenever a file of what workers run is another. The SDK's own is of every module that is loaded: to
    read the code of them all again is a tenth of the CPU of a worker's start."""
    digest = sha256()
    for room in ROOMS:
        for file in sorted((root / room).rglob("*.py")):
            code = file.read_bytes()
            digest.update(f"{file.relative_to(root)}\0{len(code)}\0".encode() + code)
    return digest.hexdigest()[:16]
