"""The unmodified `openstack` client and openstacksdk against the service."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import openstack
import pytest

from infra import credentials
from tests.image.cloud import Cloud
from tests.signed_in import environment

CLIENT = Path(sys.executable).with_name("openstack")


class Cli:
    def __init__(self, cloud: Cloud, user: str, project: str) -> None:
        self._environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(cloud.settings.state_dir),
            **environment(cloud.settings, user, project),
        }

    def run(self, *words: str, fails: bool = False) -> str:
        done = subprocess.run([CLIENT, *words], env=self._environment, capture_output=True, text=True, timeout=60)
        assert bool(done.returncode) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    def json(self, *words: str) -> Any:
        return json.loads(self.run(*words, "-f", "json"))


@pytest.fixture(scope="module")
def cli(cloud: Cloud) -> Cli:
    return Cli(cloud, "demo", "demo")


def test_create_list_show_set_save_delete(cloud: Cloud, cli: Cli, tmp_path: Path) -> None:
    disk = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", disk, "1M"], check=True)
    words = [
        "--disk-format",
        "qcow2",
        "--container-format",
        "bare",
        "--min-ram",
        "48",
        "--property",
        "os_distro=cirros",
    ]
    made = cli.json("image", "create", *words, "--tag", "t1", "--file", str(disk), "cirros")
    shown = cli.json("image", "show", "cirros")
    assert shown["id"] == made["id"] and shown["status"] == "active" and shown["min_ram"] == 48
    assert shown["size"] == disk.stat().st_size and shown["properties"]["os_distro"] == "cirros"
    assert [row["Name"] for row in cli.json("image", "list", "--status", "active")] == ["cirros"]
    cli.run("image", "set", "--property", "hw_disk_bus=virtio", "--min-disk", "1", "--protected", "cirros")
    changed = cli.json("image", "show", made["id"])
    assert changed["min_disk"] == 1 and changed["protected"] and changed["properties"]["hw_disk_bus"] == "virtio"
    assert "protected" in cli.run("image", "delete", "cirros", fails=True)
    saved = tmp_path / "saved"
    cli.run("image", "save", "--file", str(saved), "cirros")
    assert saved.read_bytes() == disk.read_bytes()
    assert "publicize_image" in cli.run("image", "set", "--public", "cirros", fails=True)
    Cli(cloud, "admin", "admin").run("image", "set", "--public", made["id"])
    cli.run("image", "set", "--unprotected", "cirros")
    cli.run("image", "unset", "--property", "hw_disk_bus", "--tag", "t1", "cirros")
    cli.run("image", "delete", "cirros")
    assert "No Image found for cirros" in cli.run("image", "show", "cirros", fails=True)


def test_refused_content_is_told_in_words(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "not.qcow2"
    file.write_bytes(b"plain" * 1000)
    words = ["--disk-format", "qcow2", "--file", str(file), "refused"]
    assert "disk_format" in cli.run("image", "create", *words, fails=True)


def test_sdk_verifies_and_takes_back_an_upload_of_another_checksum(cloud: Cloud, tmp_path: Path) -> None:
    connection = openstack.connect(
        auth_url=cloud.settings.identity_url,
        username="demo",
        password=credentials.load(cloud.settings.state_dir)["demo"],
        project_name="demo",
        user_domain_id="default",
        project_domain_id="default",
        region_name="RegionOne",
    )
    file = tmp_path / "disk.raw"
    file.write_bytes(os.urandom(3 << 20))
    made = connection.create_image("by-sdk", filename=str(file), disk_format="raw", validate_checksum=True, wait=True)
    image: Any = made
    assert image.status == "active"
    connection.image.download_image(image.id, output=str(tmp_path / "got"))
    assert (tmp_path / "got").read_bytes() == file.read_bytes()
    with pytest.raises(Exception, match="checksum"):
        connection.create_image(
            "spoiled", filename=str(file), disk_format="raw", md5="0" * 32, sha256="0" * 64, validate_checksum=True
        )
    assert "spoiled" not in [found.name for found in connection.image.images()]
    connection.image.delete_image(image.id)
