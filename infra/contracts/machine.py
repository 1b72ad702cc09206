"""The machine that a guest sees, by its image's properties and its flavor's extra specs: what is obeyed, what refused.

Source: Nova's image properties and extra specs, by their names. The API refuses by this table, hosts build by it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.contracts.image_properties import STANDARD
from infra.contracts.limits import CPU, VIF, Limits, Unfit, limits_of
from infra.contracts.topology import Impossible, Topology, topology

YES, NO = frozenset(("1", "t", "true", "on", "y", "yes")), frozenset(("0", "f", "false", "off", "n", "no"))
OFF = NO | {"", "none", "disabled", "optional", "forbidden"}
"""Values by which a property asks for nothing."""
SCOPES = ("hw", "hw_rng", "hw_video", "quota", "os", "trait", "pci_passthrough", "accel", "capabilities",
          "aggregate_instance_extra_specs")  # fmt: skip
"""Namespaces of extra specs that ask something of a host; others are anybody's own."""
TRAIT = "trait:"
"""What begins so in an image's properties names a trait that its host must have, if it is `required`."""
NUMBERED = re.compile(r"(resources|trait|required)[0-9_A-Za-z-]*|group_policy")


class Refused(ValueError):
    """In Nova's words."""


@dataclass(frozen=True)
class Rule:
    """`good`: values that are obeyed, as a regular expression. `known`: others of Nova's, which no host here has."""

    good: str
    what: str
    known: str = ""


@dataclass(frozen=True)
class Machine:
    """Bus and model names are libvirt's. `rng_rate`: octets in milliseconds. `iotune`: libvirt's names and limits."""

    disk_bus: str = "virtio"
    cdrom_bus: str = "ide"
    uefi: bool = False
    scsi_model: str = "virtio-scsi"
    vif_model: str = "virtio"
    machine_type: str = "pc"
    video_model: str = "vga"
    video_mb: int = 16
    tablet_bus: str = ""
    boot_menu: bool = False
    windows: bool = False
    rng: bool = True
    rng_rate: tuple[int, int] | None = None
    watchdog: str = ""
    topology: Topology | None = None
    iotune: Mapping[str, int] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)

    @property
    def q35(self) -> bool:
        """Whether its buses are PCI Express and SATA."""
        return is_q35(self.machine_type)


BOOL, COUNT = "(?i:1|t|true|on|y|yes|0|f|false|off|n|no)", "[0-9]{1,10}"
LIMITS = {
    f"quota:disk_{kind}_{unit}_sec": f"{kind}_{unit}_sec"
    for kind in ("read", "write", "total")
    for unit in ("bytes", "iops")
}
CPUS = ("cpu_sockets", "cpu_cores", "cpu_threads", "cpu_max_sockets", "cpu_max_cores", "cpu_max_threads")
PROPERTIES: dict[str, Rule] = {
    "hw_architecture": Rule("x86_64|amd64", "the guest's architecture", "[a-z0-9_]+"),
    "hw_vm_mode": Rule("hvm", "full virtualization", "exe|uml|xen"),
    "img_hv_type": Rule("kvm|qemu", "the hypervisor", "[a-z0-9]+"),
    "hw_machine_type": Rule("pc|pc-i440fx-[0-9.]+|q35|pc-q35-[0-9.]+",
                            "the machine; `q35` has no IDE, and SATA for the config drive", "[a-zA-Z0-9.-]+"),
    "hw_firmware_type": Rule("bios|uefi", "the firmware; `uefi` on hosts with Debian's `ovmf`, its variables go "
                             "along with a resize; a rebuild, and an unshelve after an offload, begin with new ones",
                             ""),
    "hw_disk_bus": Rule("virtio|scsi|sata|ide", "bus of root disk, ephemeral disks and swap; `scsi`: of "
                         "volumes, too; else these are virtio, and with `sata` and `ide` none is booted from",
                         "usb|xen|uml|lxc|fdc"),
    "hw_scsi_model": Rule("virtio-scsi|lsilogic", "controller of SCSI; with `virtio-scsi` a guest sees volumes come",
                          "buslogic|ibmvscsi|lsisas1068|lsisas1078|vmpvscsi"),
    "hw_cdrom_bus": Rule("ide|sata|scsi", "bus of the config drive", "virtio|usb|xen|uml|lxc|fdc"),
    "hw_vif_model": Rule("virtio|e1000|e1000e|rtl8139|pcnet|ne2k_pci|vmxnet3", "model of all interfaces",
                         "igb|lan9118|netfront|spapr-vlan|sriov|VirtualE1000|VirtualE1000e|VirtualPCNet32|"
                         "VirtualSriovEthernetCard|VirtualVmxnet|VirtualVmxnet3"),
    "hw_video_model": Rule("vga|cirrus|virtio|bochs|none", "the graphics card", "vmvga|xen|qxl|gop"),
    "hw_video_ram": Rule(COUNT, "MiB of the graphics card, up to the flavor's hw_video:ram_max_mb"),
    "hw_pointer_model": Rule("ps2mouse|usbtablet", "the pointer", ""),
    "hw_input_bus": Rule("usb|virtio", "bus of a tablet beside the keyboard", ""),
    "hw_rng_model": Rule("virtio", "source of random numbers (there in any case)", ""),
    "hw_boot_menu": Rule(BOOL, "the firmware's boot menu"),
    "hw_watchdog_action": Rule("disabled|none|pause|poweroff|reset", "a watchdog, and what it does"),
    **{f"hw_{name}": Rule("[1-9][0-9]{0,4}", "sockets, cores and threads of the vCPUs") for name in CPUS},
    "hw_cpu_policy": Rule("shared", "vCPUs float over the host's", "dedicated|mixed"),
    "hw_mem_page_size": Rule("small|any", "pages of the guest's memory", "large|[0-9]+[a-zA-Z]*"),
    "hw_serial_port_count": Rule("1", "the console", COUNT),
    "hw_qemu_guest_agent": Rule(BOOL, "a channel to the guest's agent"),
    "hw_rescue_bus": Rule("virtio|scsi|sata|ide|usb", "stable rescue: bus of the rescue disk, of a `cdrom` not "
                          "`virtio`; by an image with `usb` no server is rescued (400)", "xen|uml|lxc|fdc"),
    "hw_rescue_device": Rule("disk|cdrom", "stable rescue: what the rescue disk is", "floppy"),
    "os_type": Rule(".*", "`windows`: the clock in local time, and Hyper-V's interfaces under KVM; "
                    "`linux`: ephemeral disks in ext4, else in vfat"),
    "img_config_drive": Rule("mandatory|optional", "there in any case"),
    "img_root_device_name": Rule("/dev/vda", "name of the root disk", ".*"),
    "os_shutdown_timeout": Rule("[0-9]{1,5}", "seconds that the guest has to shut itself down, else "
                                "`shutdown_timeout_s`"),
    "os_secure_boot": Rule("disabled|optional", "secure boot", "required"),
}  # fmt: skip
ALIASES = {"architecture": "hw_architecture", "vm_mode": "hw_vm_mode", "hypervisor_type": "img_hv_type",
           "root_device_name": "img_root_device_name"}  # fmt: skip
NOTHING = re.compile(
    r"(os_(admin_user|distro|command_line|require_quiesce|skip_agent_.*)|img_(owner_id|version|bdm_v2|mappings|"
    r"block_device_mapping|cache_in_nova|compression_level|linked_clone|use_agent|bittorrent|signature.*)|"
    r"hw_disk_type|hw_device_id|(hw_)?auto_disk_config|bdm_v2|block_device_mapping|mappings|owner_id|cache_in_nova|bittorrent|"
    r"vmware_.*|xenapi_.*)"
)
"""Properties that ask nothing of the machine: of other hypervisors, or read elsewhere."""
CPU_WHAT = {
    "cpu_shares": "weight of the guest among those that have one, by the kernel's control groups",
    "cpu_period": "microseconds of the period of `quota:cpu_quota`, 100000 without it",
    "cpu_quota": "microseconds of CPU time in a period for each vCPU, QEMU's own work included; below 0: no limit",
}
VIF_WHAT = {
    "average": "kilobytes a second through each interface; with a bandwidth limit of its port the lower one holds",
    "peak": "kilobytes a second within a burst",
    "burst": "KiB that may pass at the peak's speed",
}
SPECS: dict[str, Rule] = {
    "hw:boot_menu": PROPERTIES["hw_boot_menu"],
    "hw:watchdog_action": PROPERTIES["hw_watchdog_action"],
    **{f"hw:{name}": PROPERTIES[f"hw_{name}"] for name in CPUS},
    "hw:cpu_policy": PROPERTIES["hw_cpu_policy"],
    "hw:mem_page_size": PROPERTIES["hw_mem_page_size"],
    "hw:serial_port_count": PROPERTIES["hw_serial_port_count"],
    "hw_rng:allowed": Rule(BOOL, "whether there is a source of random numbers"),
    "hw_rng:rate_bytes": Rule("[1-9][0-9]{0,9}", "octets from it in a period"),
    "hw_rng:rate_period": Rule("[1-9][0-9]{0,9}", "milliseconds of the period"),
    "hw_video:ram_max_mb": Rule(COUNT, "most MiB that an image may ask of the graphics card"),
    **{name: Rule(COUNT, "limit of each disk on the host, by QEMU") for name in LIMITS},
    **{f"quota:{name}": Rule("-?[0-9]{1,14}", CPU_WHAT[name]) for name in CPU},
    **{f"quota:{name}": Rule(COUNT, VIF_WHAT[name.rpartition("_")[2]]) for name in VIF},
}
"""Extra specs that are obeyed. Others in a namespace of `SCOPES` are refused unless they ask for nothing."""


def machine_of(properties: Mapping[str, str], extra_specs: Mapping[str, str], vcpus: int) -> Machine:
    """Raises Refused for a value that Nova does not know, and for one that no host here can give."""
    image = {ALIASES.get(name, name): value for name, value in properties.items()}
    for name, value in image.items():
        _check_property(name, value)
    for name, value in extra_specs.items():
        _check_spec(name, value)
    menu, watchdog = (extra_specs.get(f"hw:{n}", image.get(f"hw_{n}", "")) for n in ("boot_menu", "watchdog_action"))
    return Machine(
        disk_bus=image.get("hw_disk_bus", "virtio"),
        cdrom_bus=_cdrom(image),
        uefi=image.get("hw_firmware_type") == "uefi",
        scsi_model=image.get("hw_scsi_model", "virtio-scsi"),
        vif_model=image.get("hw_vif_model", "virtio"),
        machine_type=image.get("hw_machine_type", "pc"),
        video_model=image.get("hw_video_model", "vga"),
        video_mb=_video(image, extra_specs),
        tablet_bus=image.get("hw_input_bus", "usb" if image.get("hw_pointer_model") == "usbtablet" else ""),
        boot_menu=menu.lower() in YES,
        windows=image.get("os_type") == "windows",
        rng=extra_specs.get("hw_rng:allowed", "true").lower() in YES,
        rng_rate=_rate(extra_specs),
        watchdog="" if watchdog == "disabled" else watchdog,
        topology=_topology(image, extra_specs, vcpus),
        iotune=_iotune(extra_specs),
        limits=_limits(extra_specs, vcpus),
    )


def _check_property(name: str, value: str) -> None:
    rule = PROPERTIES.get(name)
    if rule is None:
        asks = name in STANDARD and not NOTHING.fullmatch(name) and value.lower() not in OFF
        if asks or (name.startswith(TRAIT) and value == "required"):
            raise _no_host("image property", name, value)
        return
    if not re.fullmatch(rule.good, value):
        if re.fullmatch(rule.known or "(?!)", value):
            raise _no_host("image property", name, value)
        raise Refused(f"Invalid image metadata. Error: Field value {value[:64]} is invalid")


def _check_spec(name: str, value: str) -> None:
    rule, (scope, _, rest) = SPECS.get(name), name.partition(":")
    if rule is not None:
        if not re.fullmatch(rule.good, value):
            if re.fullmatch(rule.known or "(?!)", value):
                raise _no_host("extra spec", name, value)
            raise Refused(f"Validation failed; failed to validate extra spec '{name}': its value is invalid.")
    elif rest and (scope in SCOPES or NUMBERED.fullmatch(scope)) and value.lower() not in OFF:
        raise _no_host("extra spec", name, value)


def _no_host(kind: str, name: str, value: str) -> Refused:
    return Refused(f"No valid host was found. No host supports the {kind} {name[:64]}={value[:64]}.")


def is_q35(machine_type: str) -> bool:
    return "q35" in machine_type


def _cdrom(image: Mapping[str, str]) -> str:
    """Bus of the config drive. Raises Refused for IDE on a machine without it."""
    q35 = is_q35(image.get("hw_machine_type", ""))
    for name in ("hw_disk_bus", "hw_cdrom_bus", "hw_rescue_bus") if q35 else ():
        if image.get(name) == "ide":
            raise _no_host("image property", name, "ide")
    return image.get("hw_cdrom_bus", "sata" if q35 else "ide")


def _iotune(extra_specs: Mapping[str, str]) -> dict[str, int]:
    """Of each unit a total, or limits for reading and writing; both are one too many for QEMU."""
    found = {limit: int(extra_specs[name]) for name, limit in LIMITS.items() if int(extra_specs.get(name, "0"))}
    for unit in ("bytes", "iops"):
        if f"total_{unit}_sec" in found and {f"read_{unit}_sec", f"write_{unit}_sec"} & found.keys():
            raise _no_host("extra spec", f"quota:disk_total_{unit}_sec", "beside limits for reading or writing")
    return found


def _limits(extra_specs: Mapping[str, str], vcpus: int) -> Limits:
    try:
        return limits_of(extra_specs, vcpus)
    except Unfit as unfit:
        raise Refused(f"Validation failed; failed to validate extra spec '{unfit.name}': {unfit.reason}.") from None


def _video(image: Mapping[str, str], extra_specs: Mapping[str, str]) -> int:
    asked, most = int(image.get("hw_video_ram", "0")), int(extra_specs.get("hw_video:ram_max_mb", "0"))
    if asked > most:
        raise Refused(
            f"The requested amount of video memory {asked} is higher than the maximum allowed by flavor {most}."
        )
    return asked or 16


def _rate(extra_specs: Mapping[str, str]) -> tuple[int, int] | None:
    if "hw_rng:rate_bytes" not in extra_specs:
        return None
    return int(extra_specs["hw_rng:rate_bytes"]), int(extra_specs.get("hw_rng:rate_period", "1000"))


def _topology(image: Mapping[str, str], extra_specs: Mapping[str, str], vcpus: int) -> Topology | None:
    kinds = ("sockets", "cores", "threads")
    asked = [extra_specs.get(f"hw:cpu_{kind}", image.get(f"hw_cpu_{kind}")) for kind in kinds]
    most = [
        min((int(m) for m in (extra_specs.get(f"hw:cpu_max_{k}"), image.get(f"hw_cpu_max_{k}")) if m), default=None)
        for k in kinds
    ]
    if not any(asked) and not any(most):
        return None
    try:
        return topology(vcpus, [int(n) if n else None for n in asked], most)
    except Impossible as error:
        raise Refused(str(error)) from None
