"""Names and values of a flavor's extra specs, as 2.86 checks them. Source: Nova's extra spec validators."""

import re

from api.compute.errors import bad_request
from infra.contracts.machine import SPECS

NAMES = re.compile(
    r"hw:(boot_menu|cpu_(cores|dedicated_mask|max_cores|max_sockets|max_threads|policy|realtime|realtime_mask|sockets|"
    r"thread_policy|threads)|emulator_threads_policy|ephemeral_encryption(_format)?|hide_hypervisor_id|locked_memory|"
    r"maxphysaddr_(mode|bits)|mem_encryption(_model)?|mem_page_size|numa_(cpus|mem)\.\d+|numa_nodes|"
    r"pci_numa_affinity_policy|pmem|pmu|redirected_usb_ports|serial_port_count|sound_model|tpm_(model|version|"
    r"secret_security)|usb_model|vif_multiqueue_enabled|viommu_model|virtio_packed_ring|watchdog_action)"
    r"|hw_rng:(allowed|rate_bytes|rate_period)|hw_video:ram_max_mb|os:secure_boot|pci_passthrough:alias"
    r"|accel:device_profile|vmware:(hw_version|storage_policy)|aggregate_instance_extra_specs:.+|capabilities:.+"
    r"|quota:(cpu|memory|disk|disk_io|vif|proxy|serial_port)_[a-z_]+"
    r"|resources([a-zA-Z0-9_-]{1,64})?:[A-Z0-9_]+|trait([a-zA-Z0-9_-]{1,64})?:[A-Z0-9_]+"
)
NAMESPACES = re.compile(
    r"hw|hw_rng|hw_video|os|pci_passthrough|accel|vmware|aggregate_instance_extra_specs|capabilities|quota"
    r"|resources([a-zA-Z0-9_-]{1,64})?|trait([a-zA-Z0-9_-]{1,64})?"
)


def require_valid(specs: dict[str, str]) -> None:
    """400 for a name that a namespace of Nova's does not have, and for a value that a name does not take. What is in no
    such namespace is anybody's own."""
    for name, value in specs.items():
        if not NAMES.fullmatch(name):
            scope, _, rest = name.partition(":")
            if rest and NAMESPACES.fullmatch(scope):
                raise bad_request(f"Validation failed; extra spec '{name}' does not appear to be a valid extra spec.")
        rule = SPECS.get(name)
        if rule and not re.fullmatch(rule.good, value) and not re.fullmatch(rule.known or "(?!)", value):
            raise bad_request(f"Validation failed; '{value[:64]}' is not a valid value of extra spec '{name}'.")
        if name.startswith("resources") and ":" in name and not re.fullmatch(r"[+-]?\d{1,20}", value):
            raise bad_request(f"Validation failed; '{value[:64]}' is not a valid integer value.")
        if name.startswith("trait") and ":" in name and value not in ("required", "forbidden"):
            raise bad_request(f"Validation failed; '{value[:64]}' is not a valid value of extra spec '{name}'.")
