"""What this host can that not all of its release can."""

from typing import TYPE_CHECKING

from infra.contracts.abilities import CPU_LIMITS, IMAGE_SIGNATURES, SUBPORTS, VIF_LIMITS
from infra.host.cgroups import GuestGroups
from infra.host.files.paths import is_test_driver
from infra.settings import Settings

if TYPE_CHECKING:
    from infra.hostnet.plane import DataPlane


def abilities_of(settings: Settings, groups: GuestGroups, network: "DataPlane | None") -> set[str]:
    """`network` is None where this host plugs nothing itself."""
    can = {
        CPU_LIMITS: groups.can_limit_cpus(),
        VIF_LIMITS: network is not None,
        SUBPORTS: network is not None and not network.unable(),
        IMAGE_SIGNATURES: settings.image_certificates is not None and not is_test_driver(settings),
    }
    return {name for name, true in can.items() if true}
