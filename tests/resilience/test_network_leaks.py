"""A host's network that somebody damaged is named by `leaks`, and mended by `leaks --repair`: real namespaces."""

import asyncio
import json
import shutil
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from infra.host.network import topology
from infra.host.network.states import PortStates
from infra.host.network.topology import TopologyPoll
from infra.hostnet import netns
from infra.hostnet.network import HostNetwork
from tests.hostnet.conftest import ip
from tests.resilience.host import NAME, Extra
from tests.resilience.test_leaks import command
from tests.workflows.cloud import Cloud

pytestmark = pytest.mark.asyncio(loop_scope="session")
PREFIX = "10.77.0"


class Networked:
    """A host that follows the network service whenever it is asked to, and repairs nothing by itself."""

    def __init__(self, cloud: Cloud, extra: Extra) -> None:
        assert isinstance(extra.host.hostnet, HostNetwork)
        self.cloud, self.extra, self.net = cloud, extra, extra.host.hostnet
        self.poll = TopologyPoll(
            extra.settings, extra.host.session, self.net, PortStates(extra.settings, extra.host.session, self.net)
        )
        self.poll()

    def router(self) -> str:
        """Name of the namespace of a new router with one interface."""
        made = [self._post("network", name="damaged"), self._post("router", name="damaged")]
        network, router = (each["id"] for each in made)
        subnet = self._post("subnet", network_id=network, ip_version=4, cidr=f"{PREFIX}.0/24")["id"]
        self._put(f"/routers/{router}/add_router_interface", subnet_id=subnet)
        self.made = [f"/routers/{router}/remove_router_interface", subnet, f"/routers/{router}", f"/networks/{network}"]
        self.poll()
        self.id, space = router, self.net._store.space_name("router", router)
        self.network = network
        assert netns.path(space).exists()
        return space

    def end(self) -> None:
        detach, subnet, *rest = self.made
        self._put(detach, subnet_id=subnet)
        for path in rest:
            answer = httpx.delete(self._url(path), headers=self._headers)
            assert answer.status_code == 204, answer.text
        self.poll()

    @property
    def _headers(self) -> dict[str, str]:
        return {"X-Auth-Token": self.cloud.token}

    def _url(self, path: str) -> str:
        return self.cloud.settings.url("network", f"/v2.0{path}")

    def _post(self, what: str, **body: Any) -> dict[str, Any]:
        answered = self.cloud.post("network", f"/v2.0/{what}s", {what: body})
        made: dict[str, Any] = answered[what]
        return made

    def _put(self, path: str, **body: str) -> None:
        answer = httpx.put(self._url(path), json=body, headers=self._headers)
        assert answer.status_code == 200, answer.text


@pytest_asyncio.fixture(loop_scope="session")
async def networked(cloud: Cloud, tmp_path: Path) -> AsyncIterator[Networked]:
    own = {"netns": f"kr-{uuid.uuid4().hex[:8]}", "host_networking": "kilonova", "lab_gateway": False}
    extra = Extra(cloud, tmp_path, **own)
    found = await asyncio.to_thread(Networked, cloud, extra)
    extra.report(memory_mb=1)
    try:
        yield found
    finally:
        extra.forget()
        found.net.teardown()
        shutil.rmtree(extra.settings.host_dir, ignore_errors=True)


async def test_a_damaged_router_is_named_and_mended(cloud: Cloud, networked: Networked) -> None:
    """Mechanism: `activities.auditing.network_host` over what the service told and what the host says that it has;
    `Audit._repair_networks` has the host look after itself, and looks again. One look mends addresses and rules."""
    space = await asyncio.to_thread(networked.router)
    async with networked.extra.working():
        clean = await command(cloud)
        assert clean.returncode == 0, clean.stdout
        (device,) = {name for name in _links(space) if name.startswith("qr-")}
        ip(space, "address", "delete", f"{PREFIX}.1/24", "dev", device)
        ip(space, "address", "add", f"{PREFIX}.9/24", "dev", device)
        netns.run(space, ["nft", "delete", "chain", "inet", "kilonova", "on_prerouting"])
        astray = ["52:54:00:00:00:09", "dev", device, "master", "static"]
        netns.run(networked.extra.settings.netns, ["bridge", "fdb", "add", *astray])
        expected = [
            ("router_address", f"router/{networked.id} {PREFIX}.1", "missing"),
            ("router_address", f"router/{networked.id} {PREFIX}.9", "too many"),
            ("rules", f"router/{networked.id} table inet chain on_prerouting", "missing"),
            ("fdb_entry", f"br-{networked.network[:11]} {astray[0]} {device}", "too many"),
        ]
        told = await command(cloud, "--json")
        assert told.returncode == 1
        assert _found(told.stdout) == [(*each, NAME, False) for each in expected]
        mended = await command(cloud, "--repair", "--json")
        assert _found(mended.stdout) == [(*each, NAME, True) for each in expected]
        assert mended.returncode == 0
        assert (await command(cloud)).returncode == 0
    await asyncio.to_thread(networked.end)
    assert not netns.path(space).exists()


async def test_what_a_host_cannot_mend_by_itself_is_told_again(
    cloud: Cloud, networked: Networked, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: what a look after the repair still finds is not called mended. The host's record of the router is
    gone, so the host itself does not miss it. By the network service's word, which is told every minute, it does."""
    space = await asyncio.to_thread(networked.router)
    async with networked.extra.working():
        networked.net.keep_only([], [])
        assert not netns.path(space).exists()
        done = await command(cloud, "--repair", "--json")
        assert done.returncode == 1
        assert _found(done.stdout) == [("namespace", f"router/{networked.id}", "missing", NAME, False)]
        assert not networked.poll(), "nothing has changed for the network service"
        monkeypatch.setattr(topology, "AGAIN_S", 0)
        assert networked.poll() and netns.path(space).exists()
        assert (await command(cloud)).returncode == 0
    await asyncio.to_thread(networked.end)


def _links(space: str) -> list[str]:
    return [entry["ifname"] for entry in json.loads(netns.run(space, ["ip", "-j", "link"]))]


def _found(text: str) -> list[tuple[str, str, str, str, bool]]:
    findings = json.loads(text)["findings"]
    return [(f["kind"], f["what"], f["problem"], f["host"], f["repaired"]) for f in findings]
