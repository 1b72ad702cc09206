"""Which versions of guests' metadata there are, and what each of them tells: Nova's form, and EC2's.

Source: Nova user guide, "Metadata service" and "Config drives", and its release notes; cloud-init for the EC2 form."""

from collections.abc import Iterable
from typing import Any

from infra.contracts.local_disks import LocalDisk

OPENSTACK = ("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22",
             "2018-08-27", "2020-10-14", "latest")  # fmt: skip
EC2 = ("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
       "2009-04-04", "latest")  # fmt: skip
FILES_SINCE = {
    "password": "2013-04-04",
    "vendor_data.json": "2013-10-17",
    "network_data.json": "2015-10-15",
    "vendor_data2.json": "2016-10-06",
}
FIELDS_SINCE = {
    "random_seed": "2013-04-04",
    "project_id": "2015-10-15",
    "devices": "2016-06-30",
    "dedicated_cpus": "2020-10-14",
}
"""Of `meta_data.json`. What is in neither table is in every version."""


def of_version(version: str, files: dict[str, Any]) -> dict[str, Any]:
    """`files` (name → document) as a guest that reads `version` finds them."""
    told = {name: body for name, body in files.items() if FILES_SINCE.get(name, "") <= version}
    meta = {name: value for name, value in files["meta_data.json"].items() if FIELDS_SINCE.get(name, "") <= version}
    return told | {"meta_data.json": meta}


def block_devices(disks: Iterable[LocalDisk], volumes: Iterable[str]) -> dict[str, str]:
    """EC2's `block-device-mapping`, by which cloud-init mounts what is ephemeral and uses swap. `volumes`: their device
    names."""
    paths = sorted(f"/dev/{name.removeprefix('/dev/')}" for name in volumes if name)
    told = {"ami": "vda", "root": "/dev/vda", **{f"ebs{at}": path for at, path in enumerate(paths)}}
    return told | {disk.label: f"/dev/{disk.device}" for disk in disks}


def ec2(meta_data: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    """The `meta-data` of EC2's form: texts, and objects of them. `known`: what `meta_data` does not say."""
    number = int(meta_data["uuid"].replace("-", "")[:8], 16)
    told: dict[str, Any] = {
        "ami-id": "ami-00000000",
        "ami-launch-index": str(meta_data.get("launch_index", 0)),
        "hostname": meta_data["hostname"],
        "instance-id": f"i-{number:08x}",
        "local-hostname": meta_data["hostname"],
        **known,
        "placement": {"availability-zone": meta_data["availability_zone"]},
    }
    if keys := meta_data.get("public_keys"):
        told["public-keys"] = {str(at): {"openssh-key": key} for at, key in enumerate(keys.values())}
    return told
