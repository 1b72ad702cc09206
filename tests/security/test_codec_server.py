"""The codec server shows payloads to whoever presents its token, and to nobody else."""

import base64
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from temporalio.api.common.v1 import Payload
from temporalio.converter import WorkflowSerializationContext

from infra.codec import KeyRing
from infra.payloads import EncryptingCodec
from infra.settings import Settings
from workers.codec_server import access_token, create


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path)


async def test_a_token_is_always_asked_for(settings: Settings) -> None:
    codec = EncryptingCodec(KeyRing.load(settings.codec_keys))
    server = codec.with_context(WorkflowSerializationContext(namespace="default", workflow_id="server-1"))
    [sealed] = await server.encode([Payload(metadata={"encoding": b"json/plain"}, data=b'{"token": "secret"}')])
    metadata = {name: base64.b64encode(value).decode() for name, value in sealed.metadata.items()}
    body = {"payloads": [{"metadata": metadata, "data": base64.b64encode(sealed.data).decode()}]}
    with TestClient(create(settings), client=("127.0.0.1", 5000)) as client:
        ui = f"http://127.0.0.1:{settings.port('temporal_ui')}"
        for headers in ({}, {"Origin": ui}, {"Origin": ui, "Authorization": "Bearer x"}, {"Authorization": "Bearer "}):
            answer = client.post("/decode", json=body, headers=headers)
            assert answer.status_code == 401 and "secret" not in answer.text
        mine = {"Authorization": f"Bearer {access_token(settings)}", "Origin": ui}
        answer = client.post("/decode", json=body, headers=mine)
        assert answer.status_code == 200
        assert base64.b64decode(answer.json()["payloads"][0]["data"]) == b'{"token": "secret"}'
        assert client.post("/encode", json=body, headers=mine).status_code == 404  # who may read cannot forge
        assert client.post("/decode", content=b"x" * (9 << 20), headers=mine).status_code == 413
        body["payloads"][0]["metadata"] = {"encoding": base64.b64encode(b"json/plain").decode()}
        body["payloads"][0]["data"] = base64.b64encode(b'{"a": 1}').decode()
        assert client.post("/decode", json=body, headers=mine).status_code == 400
