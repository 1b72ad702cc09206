"""A server with UEFI on a q35 through the operations that could lose what its firmware has written, and what its flavor
leaves it."""

from pathlib import Path

import pytest

from infra.host.files import firmware
from infra.host.files.paths import HostPaths
from infra.hostnet import shaping
from tests.e2e.cloud import Cloud, wait_for
from tests.e2e.test_whole_life import ask, becomes


def test_firmware_variables_are_kept_or_renewed(cloud: Cloud, tmp_path: Path) -> None:
    """UEFI on a q35, as Nova has it: a server keeps what its firmware has written until it leaves its host or gets
    another image. A mark at the end, where OVMF writes nothing, tells whose variables these are. The firmware finds
    nothing to boot, so that no guest has to be waited for. Its bandwidth is its flavor's at each start."""
    if not firmware.is_there():
        pytest.skip("this machine has no ovmf, and gets no such server")
    (tmp_path / "empty").write_bytes(bytes(1 << 20))
    facts = ("hw_firmware_type=uefi", "hw_machine_type=q35", "os_shutdown_timeout=0")
    about = [word for fact in facts for word in ("--property", fact)]
    cloud.demo("image", "create", "--disk-format", "raw", "--file", str(tmp_path / "empty"), *about, "uefi")
    for ram in ("256", "288"):
        cloud.admin("flavor", "create", "--ram", ram, "--vcpus", "1", "--disk", "1", f"uefi-{ram}")
    cloud.admin("flavor", "set", "--property", "quota:vif_inbound_average=1000", "uefi-256", answers=False)
    nic = ["--nic", f"net-id={cloud.network}"]
    made = cloud.demo("server", "create", "--flavor", "uefi-256", "--image", "uefi", *nic, "uefi")
    server = cloud.built(made["id"])
    nvram = HostPaths(cloud.host).nvram(server.id)

    def marked() -> bool:
        return nvram.read_bytes().endswith(b"mine")

    def limited() -> bool:
        return 1_000_000 in [shape[0] for shape in shaping.present(cloud.layout.netns).values()]

    assert limited()
    ask(cloud, server, "SHUTOFF", "stop", "uefi")
    nvram.write_bytes(nvram.read_bytes()[:-4] + b"mine")
    image = cloud.demo("server", "image", "create", "--name", "uefi-copy", "uefi")["id"]
    wait_for(lambda: cloud.demo.sdk.image.get_image(image).status == "active", 90, "the image is there")
    assert cloud.demo("image", "show", "uefi-copy")["properties"]["hw_firmware_type"] == "uefi"
    becomes(cloud, server, "SHUTOFF")
    ask(cloud, server, "ACTIVE", "start", "uefi")
    ask(cloud, server, "VERIFY_RESIZE", "resize", "--flavor", "uefi-288", "uefi")
    assert marked() and not limited()
    ask(cloud, server, "ACTIVE", "resize", "revert", "uefi")
    assert marked() and limited()
    ask(cloud, server, "RESCUE", "rescue", "uefi")
    ask(cloud, server, "ACTIVE", "unrescue", "uefi")
    assert marked()
    ask(cloud, server, "ACTIVE", "rebuild", "--image", "uefi-copy", "uefi")
    assert nvram.exists() and not marked()
    nvram.write_bytes(nvram.read_bytes()[:-4] + b"mine")
    cloud.demo("server", "shelve", "--offload", "--wait", "uefi", answers=False)
    becomes(cloud, server, "SHELVED_OFFLOADED")
    assert not nvram.exists()
    ask(cloud, server, "ACTIVE", "unshelve", "uefi")
    assert nvram.exists() and not marked()
    cloud.demo("server", "delete", "--wait", "uefi")
    assert not nvram.exists()
    for name in ("uefi", "uefi-copy"):
        cloud.demo("image", "delete", name)
    cloud.admin("flavor", "delete", "uefi-256", "uefi-288")
