"""A production Temporal server with mutual TLS, as docs/operator-guide.md starts it, for tests that are told where its
program is (`KILONOVA_TEMPORAL_SERVER`; building it takes some ten minutes of CPU, so that CI does without)."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from google.protobuf.duration_pb2 import Duration
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, RegisterNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError

from infra.settings import Settings
from infra.temporal import connect
from infra.tls import Authority
from tests.ports import free_port

PROGRAM = os.environ.get("KILONOVA_TEMPORAL_SERVER", "")
SERVICES = ("frontend", "internal-frontend", "history", "matching", "worker")


def config(place: Path, authority: Authority) -> tuple[dict[str, Any], int]:
    """Source: go.temporal.io/server, common/config; every JSON text is one of YAML."""
    certificate, key = authority.ensure("temporal", ["temporal.cloud", "127.0.0.1"])
    ours = [str(authority.certificate)]
    files = {"certFile": str(certificate), "keyFile": str(key), "requireClientAuth": True, "clientCaFiles": ours}
    listener = {"server": files, "client": {"serverName": "temporal.cloud", "rootCaFiles": ours}}
    kept = {"cache": "private", "setup": True, "journal_mode": "wal", "synchronous": 2}
    sql = {"pluginName": "sqlite", "databaseName": str(place / "temporal.db"), "connectAttributes": kept}
    sql |= {"connectAddr": "localhost", "connectProtocol": "tcp"}
    sql |= {"maxConns": 1, "maxIdleConns": 1, "maxConnLifetime": "1h"}
    stores = {"defaultStore": "a", "visibilityStore": "a", "numHistoryShards": 1, "datastores": {"a": {"sql": sql}}}
    rpc = {}
    for name in SERVICES:
        rpc[name] = {"rpc": {"grpcPort": free_port(), "membershipPort": free_port(), "bindOnLocalHost": True}}
    port = rpc["frontend"]["rpc"]["grpcPort"]
    here = {"enabled": True, "initialFailoverVersion": 1, "rpcName": "frontend", "rpcAddress": f"127.0.0.1:{port}"}
    members = {"maxJoinDuration": "30s", "broadcastAddress": "127.0.0.1"}
    cluster = {"failoverVersionIncrement": 10, "masterClusterName": "active", "currentClusterName": "active"}
    wanted = {
        "log": {"stdout": True, "level": "warn"},
        "persistence": stores,
        "global": {"membership": members, "tls": {"internode": listener, "frontend": listener}},
        "services": rpc,
        "clusterMetadata": cluster | {"clusterInformation": {"active": here}},
        "dcRedirectionPolicy": {"policy": "noop"},
    }
    return wanted, port


@asynccontextmanager
async def production(state: Path) -> AsyncIterator[tuple[Settings, Client]]:
    """Settings of a controller, and its client."""
    settings = Settings(state_dir=state)
    authority = Authority(settings.tls_place)
    wanted, port = config(state, authority)
    (state / "temporal.yaml").write_text(json.dumps(wanted))
    certificate, key = authority.ensure("controller", ["controller"])
    mine = settings.model_copy(
        update={
            "temporal_address": f"127.0.0.1:{port}",
            "temporal_tls_ca": authority.certificate,
            "temporal_tls_cert": certificate,
            "temporal_tls_key": key,
            "temporal_tls_name": "temporal.cloud",
        }
    )
    argv = [PROGRAM, "--config-file", str(state / "temporal.yaml"), "start"]
    argv += [word for name in SERVICES for word in ("--service", name)]
    with (state / "temporal.log").open("wb") as log:
        server = subprocess.Popen(argv, stdout=log, stderr=log)
    try:
        yield mine, await _ready(mine)
    finally:
        server.terminate()
        server.wait(30)


async def _ready(settings: Settings) -> Client:
    client = await connect(settings, patience_s=90)
    kept = Duration(seconds=3 * 86400)
    request = RegisterNamespaceRequest(namespace=settings.temporal_namespace, workflow_execution_retention_period=kept)
    for _ in range(300):
        try:
            await client.workflow_service.register_namespace(request, timeout=timedelta(seconds=5))
        except RPCError as error:
            if error.status.name != "ALREADY_EXISTS":
                await asyncio.sleep(0.2)
                continue
        break
    known = DescribeNamespaceRequest(namespace=settings.temporal_namespace)
    await client.workflow_service.describe_namespace(known, timeout=timedelta(seconds=30))
    await asyncio.sleep(11)  # each of its services reads the list of namespaces every ten seconds
    return client
