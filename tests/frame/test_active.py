"""A server that is ACTIVE shows its addresses, and its guest and ports are on its host: looked at all the time."""

import threading
from typing import Self

import pytest

from infra.tables.compute import Instance
from tests.frame.cloud import FrameCloud
from tests.workflows.acting import do
from tests.workflows.servers import instance_of

pytestmark = pytest.mark.asyncio(loop_scope="session")
AGAIN = ("os-stop", "os-start", "reboot", "suspend", "resume", "rescue", "unrescue", "rebuild", "shelve",
         "shelveOffload", "unshelve", "resize", "confirmResize")  # fmt: skip
"""Whatever ends in ACTIVE, after what has to come before it."""


class Watch(threading.Thread):
    """Looks at record and world without a pause; `wrong` is what an ACTIVE server lacked."""

    def __init__(self, cloud: FrameCloud, instance_id: str) -> None:
        super().__init__(daemon=True)
        self._cloud, self._id, self._over = cloud, instance_id, threading.Event()
        self.looks, self.wrong = 0, list[str]()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join()

    def _record(self) -> Instance | None:
        with self._cloud.database.read() as session:
            found = session.get(Instance, self._id)
        return found if found and found.vm_state == "active" and not found.task_state else None

    def run(self) -> None:
        while not self._over.is_set():
            if (record := self._record()) is None:
                continue
            here = {(host, kind, what) for host, kind, _, what in self._cloud.of(self._id)}
            lacks = [] if all(network["fixed_ips"] for network in record.networks) else ["an address"]
            lacks += [] if record.networks else ["its networks"]
            wanted = [("tap", network["port_id"]) for network in record.networks] + [("domain", "")]
            lacks += [f"{kind} {name}" for kind, name in wanted if (record.host, kind, name) not in here]
            again = self._record()
            if again is not None and again.updated_at == record.updated_at:
                self.looks += 1
                self.wrong += lacks


async def test_never_active_without_addresses_and_ports(cloud: FrameCloud) -> None:
    """Mechanism: the order of a build's steps, and that `end_action` comes after the guest's."""
    request = cloud.request()
    with Watch(cloud, request.instance_id) as watch:
        handle = await cloud.boot(request)
        assert await cloud.end(handle) is None
        for name in AGAIN:
            assert await do(cloud, handle, name) is None, name
    assert watch.looks > 20 and watch.wrong == []
    await cloud.delete(handle)
    assert await cloud.end(handle) is None
    assert instance_of(handle) == request.instance_id
