"""Nova's filters of hosts. Source: nova/scheduler/filters, by their names there."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

from infra.contracts.placement import Candidate, ClaimRequest, Ear, Reported, Share
from infra.settings import Settings

ABILITIES = "ComputeCapabilitiesFilter"
FITS = ("CoreFilter", "RamFilter", "DiskFilter")
AFFINITY = ("ServerGroupAntiAffinityFilter", "ServerGroupAffinityFilter")
BINDING = (ABILITIES, *AFFINITY)
"""What binds on a host that an admin forces, too: Nova's hosts check it once more before they start the guest."""
Filter = Callable[[Candidate], bool]


class Filters:
    """`up`: whether a host's service counts as up at a moment."""

    def __init__(self, settings: Settings, up: Callable[[Reported, datetime, Sequence[Ear]], bool]) -> None:
        self._settings, self._up = settings, up

    def of(self, want: ClaimRequest, share: Share, at: datetime) -> Iterator[tuple[str, Filter]]:
        """(name, whether a host passes), in the order in which they are asked."""
        s = self._settings
        yield "RetryFilter", lambda c: c.host not in want.tried
        yield "ComputeFilter", lambda c: not c.disabled and self._up(c, at, c.ears)
        yield "AvailabilityZoneFilter", lambda c: want.zone is None or c.zone == want.zone
        yield ABILITIES, lambda c: want.needs <= c.abilities
        yield "RequestedHostFilter", lambda c: want.requested_host is None or c.host == want.requested_host
        yield "SameHostFilter", lambda c: not want.same_host or c.of(want.same_host) > 0
        yield "DifferentHostFilter", lambda c: not c.of(want.different_host)
        yield "CoreFilter", lambda c: c.used.vcpus + share.vcpus <= c.has.vcpus * s.cpu_allocation_ratio
        yield "RamFilter", lambda c: c.used.memory_mb + share.memory_mb <= memory_of(c, s)
        yield "DiskFilter", lambda c: c.used.disk_gb + share.disk_gb <= c.has.disk_gb * s.disk_allocation_ratio
        if company := want.company:
            yield AFFINITY[0], lambda c: company.policy != "anti-affinity" or c.of(company.members) < company.most
            bound = company.policy == "affinity" and company.members
            yield AFFINITY[1], lambda c: not bound or c.of(company.members) > 0


def memory_of(c: Candidate, settings: Settings) -> float:
    """MiB that guests may have, beyond the host's own reserve."""
    return (c.has.memory_mb - settings.reserved_host_memory_mb) * settings.ram_allocation_ratio
