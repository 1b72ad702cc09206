"""`kilonova up --tls`: every service speaks HTTPS only, and a server boots over it."""

import os
import shlex
import socket
import ssl
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest
from pydantic import ValidationError

from infra import credentials, tls
from infra.settings import Settings
from tests.ports import free_offset
from tests.security.cloud import KILONOVA

SERVED = ("identity", "compute", "placement", "image", "network", "volume", "codec", "temporal_ui", "console")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    state, offset = tmp_path_factory.mktemp("tls") / "state", free_offset()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KILONOVA_", "OS_"))}
    env = {**kept, "KILONOVA_STATE_DIR": str(state), "KILONOVA_PORT_OFFSET": str(offset)}
    try:
        command = [KILONOVA, "up", "--driver", "test", "--hosts", "1", "--no-image", "--tls"]
        subprocess.run(command, env=env, check=True)
        yield Settings(state_dir=state, port_offset=offset, tls=True)
    finally:
        subprocess.run([KILONOVA, "down"], env=env, check=True)


def answer(port: int, context: ssl.SSLContext | None) -> bytes:
    """The first bytes of the answer to a GET, by TLS where there is a `context`."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
        sock = context.wrap_socket(plain, server_hostname="127.0.0.1") if context else plain
        with sock:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
            return sock.recv(64)


@pytest.mark.parametrize("service", SERVED)
def test_https_and_nothing_else(cloud: Settings, service: str) -> None:
    port = cloud.port(service)
    ours = ssl.create_default_context(cafile=str(cloud.tls_place / "ca-cert.pem"))
    assert answer(port, ours).startswith(b"HTTP/1.1")
    with pytest.raises(ssl.SSLCertVerificationError):
        answer(port, ssl.create_default_context())
    try:
        assert not answer(port, None).startswith(b"HTTP/1.1 ")
    except ConnectionError:
        return


def test_a_server_boots_and_is_seen(cloud: Settings) -> None:
    """Every hop of a build: client, APIs, Keystone, Glance, workers; the sign-in file names the authority."""
    lines = [shlex.split(line) for line in (cloud.state_dir / "demo-openrc").read_text().splitlines()]
    exported = dict(words[1].split("=", 1) for words in lines if words[0] == "export")
    assert exported["OS_CACERT"] == str(cloud.trusted) and exported["OS_AUTH_URL"].startswith("https://")
    auth = {
        "auth_url": exported["OS_AUTH_URL"],
        "username": "admin",
        "password": credentials.load(cloud.state_dir)["admin"],
        "project_name": "admin",
        "user_domain_name": "Default",
        "project_domain_name": "Default",
    }
    sdk: Any = openstack.connect(
        load_yaml_config=False, load_envvars=False, auth=auth, region_name=cloud.region, cacert=exported["OS_CACERT"]
    )
    assert {e["url"].partition(":")[0] for s in sdk.service_catalog for e in s["endpoints"]} == {"https"}
    flavor = sdk.compute.create_flavor(name=uuid.uuid4().hex, ram=1, vcpus=1, disk=0)
    image = sdk.image.create_image(uuid.uuid4().hex, data=b"\0" * 65536, disk_format="raw", container_format="bare")
    server = sdk.compute.create_server(name="tls", flavor_id=flavor.id, image_id=image.id, networks="none")
    assert sdk.compute.wait_for_server(server, interval=0.5, wait=60).status == "ACTIVE"
    sdk.compute.delete_server(server)
    sdk.compute.wait_for_delete(server, interval=0.5, wait=60)


def test_others_are_served_by_tls_only(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="is reached by others"):
        Settings(state_dir=tmp_path, listen="0.0.0.0")
    assert Settings(state_dir=tmp_path, listen="::1").scheme == "http"
    assert Settings(state_dir=tmp_path, listen="0.0.0.0", tls=True).url("compute").startswith("https://")
    behind = Settings(state_dir=tmp_path, listen="10.0.0.1", advertise="cloud.example", tls_terminated=True)
    assert (behind.scheme, behind.url("compute", "/").partition(":")[0]) == ("http", "https")


def test_the_operators_own_files_are_taken_as_they_are(tmp_path: Path) -> None:
    own = tls.Authority(tmp_path / "own")
    with pytest.raises(FileNotFoundError, match="server-cert"):
        tls.prepare(Settings(state_dir=tmp_path / "state", tls=True, tls_dir=tmp_path / "own"))
    certificate, _ = own.ensure("server", ["cloud.example"])
    before = certificate.read_bytes()
    settings = Settings(state_dir=tmp_path / "state", tls=True, tls_dir=tmp_path / "own")
    tls.prepare(settings)
    assert settings.trusted is not None and settings.trusted.read_text().startswith(own.certificate.read_text())
    assert certificate.read_bytes() == before and not (tmp_path / "state" / "tls" / "server-key.pem").exists()
