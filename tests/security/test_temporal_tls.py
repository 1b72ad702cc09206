"""Our Temporal client in production's shape: mutual TLS and a token, against a frontend that asks for both."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from temporalio.testing import WorkflowEnvironment

from infra import temporal
from infra.settings import Settings
from infra.temporal import connect
from infra.tls import Authority


@dataclass
class Frontend:
    """TLS in front of a real Temporal server: who comes without a certificate of the authority does not get through."""

    port: int
    authority: Authority
    peers: list[str] = field(default_factory=list)  # common names of who got through

    def settings(self, state_dir: Path, **more: Any) -> Settings:
        address = {"temporal_address": f"127.0.0.1:{self.port}", "temporal_tls_name": "temporal.cloud"}
        return Settings(state_dir=state_dir, **{**address, "temporal_tls_ca": self.authority.certificate, **more})


@pytest.fixture
async def frontend(tmp_path: Path) -> AsyncIterator[Frontend]:
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.ensure("temporal", ["temporal.cloud"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.load_verify_locations(authority.certificate)
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["h2"])
    server = await WorkflowEnvironment.start_local(
        dev_server_existing_path=str(Path(sys.executable).with_name("temporal")), dev_server_log_level="error"
    )
    async with server:
        host, _, port = server.client.service_client.config.target_host.rpartition(":")
        found = Frontend(0, authority)

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            subject = writer.get_extra_info("peercert")["subject"]
            found.peers.append(dict(pair[0] for pair in subject)["commonName"])
            there = await asyncio.open_connection(host, int(port))
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer), return_exceptions=True)

        listening = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=context)
        found.port = listening.sockets[0].getsockname()[1]
        yield found
        listening.close()


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        sink.write(data)
        await sink.drain()
    sink.close()


async def test_a_host_comes_with_its_own_certificate(frontend: Frontend, tmp_path: Path) -> None:
    certificate, key = frontend.authority.ensure("host-rack7", ["rack7"])
    mine = frontend.settings(tmp_path, temporal_tls_cert=certificate, temporal_tls_key=key)
    client = await connect(mine)
    assert (await client.count_workflows()).count == 0
    assert set(frontend.peers) == {"host-rack7"}


async def test_nobody_comes_without_one(frontend: Frontend, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "elsewhere")
    forged, forged_key = stranger.ensure("host-rack7", ["rack7"])
    certificate, key = frontend.authority.ensure("host-rack7", ["rack7"])
    refused = {
        "plaintext": frontend.settings(tmp_path, temporal_tls_ca=None),
        "no certificate": frontend.settings(tmp_path),
        "of another authority": frontend.settings(tmp_path, temporal_tls_cert=forged, temporal_tls_key=forged_key),
        "a frontend of another authority": frontend.settings(
            tmp_path, temporal_tls_ca=stranger.certificate, temporal_tls_cert=certificate, temporal_tls_key=key
        ),
        "a frontend of another name": frontend.settings(
            tmp_path, temporal_tls_name="other.cloud", temporal_tls_cert=certificate, temporal_tls_key=key
        ),
    }
    for settings in refused.values():
        with pytest.raises(ConnectionError):
            await connect(settings, patience_s=0.3)
    assert frontend.peers == []


async def test_the_token_follows_its_file(frontend: Frontend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(temporal, "API_KEY_EVERY_S", 0.05)
    certificate, key = frontend.authority.ensure("host-rack7", ["rack7"])
    token = tmp_path / "token"
    token.write_text("first\n")
    mine = frontend.settings(tmp_path, temporal_tls_cert=certificate, temporal_tls_key=key, temporal_api_key_file=token)
    client = await connect(mine)
    assert client.api_key == "first"
    token.write_text("second\n")
    for _ in range(100):
        await asyncio.sleep(0.05)
        if client.api_key == "second":
            break
    assert client.api_key == "second" and (await client.count_workflows()).count == 0


def test_certificates_are_renewed_and_private(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    certificate, key = authority.ensure("server", ["127.0.0.1", "cloud.example"])
    first = certificate.read_bytes()
    assert authority.ensure("server", ["cloud.example", "127.0.0.1"]) == (certificate, key)
    assert certificate.read_bytes() == first
    authority.ensure("server", ["cloud.example", "127.0.0.2"])
    assert certificate.read_bytes() != first
    for name in ("ca-key.pem", "server-key.pem"):
        assert (tmp_path / "tls" / name).stat().st_mode & 0o777 == 0o600
