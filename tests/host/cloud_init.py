"""cloud-init's own reader of config drives and of the metadata service, unmodified, out of Debian's package.

As a program: `cloud_init.py PLACE`, a folder or the metadata service's address, prints as JSON what cloud-init makes of
it. It knows nothing of Kilonova."""

import json
import sys
from functools import cache


@cache
def reader() -> list[str]:
    """The command, to which the place is to be added; the test is skipped where Debian's package cannot be had."""
    import pytest

    from tests.clients.tools import debian

    try:
        root = debian("cloud-init", "python3-configobj")
    except (RuntimeError, OSError) as error:
        pytest.skip(f"Debian's cloud-init cannot be had: {error}")
    return [sys.executable, __file__, str(root / "usr" / "lib" / "python3" / "dist-packages")]


def read(place: str) -> dict[str, object]:
    from cloudinit.sources import DataSourceConfigDrive, DataSourceOpenStack  # type: ignore[import-not-found]
    from cloudinit.sources.helpers import openstack  # type: ignore[import-not-found]

    if place.startswith("http"):
        found = DataSourceOpenStack.read_metadata_service(place, retries=1)
    else:
        found = DataSourceConfigDrive.read_config_drive(place)
    found["metadata"].pop("random_seed", None)
    macs = {link["ethernet_mac_address"]: f"eth{at}" for at, link in enumerate(found["networkdata"]["links"])}
    return {
        "metadata": found["metadata"],
        "ec2": found.get("ec2-metadata"),
        "userdata": found["userdata"].decode(),
        "network": openstack.convert_net_json(found["networkdata"], known_macs=macs),
        "vendordata": found.get("vendordata"),
        "files": {path: text.decode() for path, text in found.get("files", {}).items()},
    }


if __name__ == "__main__":
    sys.path.insert(0, sys.argv[1])
    print(json.dumps(read(sys.argv[2])))
