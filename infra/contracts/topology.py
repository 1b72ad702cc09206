"""Sockets, cores and threads of a guest's vCPUs. Source: Nova's hardware.py, "vCPU topology"."""

from collections.abc import Sequence
from typing import NamedTuple

UNLIMITED = 65536


class Impossible(ValueError):
    """In Nova's words."""


class Topology(NamedTuple):
    sockets: int
    cores: int
    threads: int


def topology(vcpus: int, asked: Sequence[int | None], most: Sequence[int | None]) -> Topology:
    """Of all that give `vcpus` within the limits `most`, the one that meets most of what was `asked`; sockets come
    before cores, cores before threads. Raises Impossible when there is none."""
    limits = [min(limit or UNLIMITED, vcpus) for limit in most]
    counts = [count for count in range(min(vcpus, UNLIMITED), 0, -1) if vcpus % count == 0]
    fitting = [
        Topology(sockets, cores, vcpus // (sockets * cores))
        for sockets in counts
        for cores in counts
        if sockets <= limits[0]
        and cores <= limits[1]
        and vcpus % (sockets * cores) == 0
        and vcpus // (sockets * cores) <= limits[2]
    ]
    if not fitting:
        shown = ":".join(str(limit or UNLIMITED) for limit in most)
        raise Impossible(f"Requested vCPU limits {shown} are impossible to satisfy for vcpus count {vcpus}")
    return max(fitting, key=lambda found: sum(a == b for a, b in zip(asked, found, strict=True)))
