"""What one server, flavor or key pair may have: the limits that no quota sets, with Nova's words.

Quotas (instances, cores, ram, metadata items, key pairs, server groups) are in `records.quotas`."""

NICS = 24
"""Per server: the virtual machine has as many free PCI slots, disks aside."""
NICS_WORDS = "Maximum number of ports exceeded"
DISKS = 24
"""Volumes per server: letters of virtio disks from vdb on."""
DISKS_WORDS = f"The maximum allowed number of disk devices ({DISKS}) to attach to a single instance has been exceeded."
LOCAL_DISKS = 3
"""Block devices of destination local that a request may name, the image's included. Source: max_local_block_devices."""
TAGS = 50
TAGS_WORDS = f"The number of tags exceeded the per-server limit {TAGS}"
SECURITY_GROUPS = 64
"""Per request."""
EXTRA_SPECS = 128
"""Per flavor."""
EXTRA_SPECS_WORDS = f"Maximum number of extra specs exceeds {EXTRA_SPECS}"
PUBLIC_KEY = 16_384
"""Characters; an RSA key of 16,384 bits has 2,800."""
FLAVOR_PROJECTS = 1000
"""Projects that a private flavor may be given to."""
