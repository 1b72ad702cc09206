"""What a flavor's `quota:cpu_*` and `quota:vif_*` leave a guest of its host.

Source: Nova's extra specs, in libvirt's units."""

from collections.abc import Mapping

from pydantic import BaseModel

CPU = {"cpu_shares": (2, 262144), "cpu_period": (1000, 1000000), "cpu_quota": (1000, 17592186044415)}
"""Extra spec → smallest and largest value that libvirt takes; a quota below 0 is none."""
WAYS = ("inbound", "outbound")
VIF = tuple(f"vif_{way}_{part}" for way in WAYS for part in ("average", "peak", "burst"))


class Unfit(ValueError):
    """The name of an extra spec whose value is out of range, or asks for what nothing can be made of."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(reason)
        self.name, self.reason = name, reason


class Rate(BaseModel):
    """Of one way through each interface: kilobytes (1000 octets) a second, and a burst in KiB. 0: none."""

    average: int
    peak: int = 0
    burst: int = 0


class Limits(BaseModel):
    """`cpu_period` and `cpu_quota` (of all vCPUs together) are microseconds; None: not limited."""

    cpu_shares: int | None = None
    cpu_period: int | None = None
    cpu_quota: int | None = None
    inbound: Rate | None = None
    outbound: Rate | None = None

    @property
    def of_cpu(self) -> bool:
        return (self.cpu_shares, self.cpu_period, self.cpu_quota) != (None, None, None)

    @property
    def of_vif(self) -> bool:
        return (self.inbound, self.outbound) != (None, None)


def limits_of(extra_specs: Mapping[str, str], vcpus: int) -> Limits:
    """Raises Unfit. Values are whole numbers already."""
    found: dict[str, object] = {}
    for name, (least, most) in CPU.items():
        value = int(extra_specs.get(f"quota:{name}", "-1"))
        if value < 0 and (name == "cpu_quota" or f"quota:{name}" not in extra_specs):
            continue
        if not least <= value <= most:
            raise Unfit(f"quota:{name}", f"it is not between {least} and {most}")
        found[name] = value * vcpus if name == "cpu_quota" else value
    for way in WAYS:
        rate = {part: int(extra_specs.get(f"quota:vif_{way}_{part}", "0")) for part in ("average", "peak", "burst")}
        if rate["average"]:
            found[way] = Rate(**rate)
        elif any(rate.values()):
            raise Unfit(f"quota:vif_{way}_average", "a peak or a burst needs it")
        if rate["peak"] and rate["peak"] < rate["average"]:
            raise Unfit(f"quota:vif_{way}_peak", "it is below the average")
    return Limits.model_validate(found)
