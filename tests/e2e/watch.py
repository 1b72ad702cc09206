"""Looks at a server and at its ports, all the time, through the APIs that its owner has."""

import threading
import time
from contextlib import suppress
from typing import Any, Self

import httpx

from tests.e2e.cloud import Cloud

OFTEN_S, AT_REST_S = 0.4, 0.9
RESTED_S = 3.0
"""As long as hosts are apart in their reports: what an action is to bring later than its end has come by then."""


class Watch(threading.Thread):
    """`wrong`: what was lacking while the server was ACTIVE with nothing going on; `looks`: how often that was seen.

    It looks twice a second while the server changes and just after; at one that rests, and whose guest boots
    meanwhile, once: each look asks two services, three times. A look counts when the server was the same before and
    after its ports were read. A port that is just being attached shows no address of its server yet, and is none of its
    ports."""

    def __init__(self, cloud: Cloud, name: str) -> None:
        super().__init__(daemon=True)
        self._sdk, self._name, self._over = cloud.demo.sdk, name, threading.Event()
        self.looks, self.seen, self.wrong = 0, list[str](), list[str]()
        self._last: dict[str, Any] | None = None
        self._changed = time.monotonic()
        self.quiet = threading.Event()
        """Set while a test takes something from under the server by intent."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self.join(30)

    def _server(self) -> dict[str, Any] | None:
        found = self._sdk.compute.get("/servers/detail", params={"name": f"^{self._name}$"}).json()["servers"]
        return found[0] if found else None

    def run(self) -> None:
        while not self._over.is_set():
            with suppress(httpx.HTTPError, OSError, KeyError):  # a service that is restarted by a test
                self._look()
            self._over.wait(AT_REST_S if time.monotonic() - self._changed > RESTED_S else OFTEN_S)

    def _look(self) -> None:
        before = self._server()
        if before != self._last or not _rests(before):
            self._last, self._changed = before, time.monotonic()
        if before is None or self.quiet.is_set():
            return
        if before["status"] not in self.seen[-1:]:
            self.seen.append(before["status"])
        if not _rests(before):
            return
        ports = self._sdk.network.get("/ports", params={"device_id": before["id"]}).json()["ports"]
        shown = {each["addr"] for network in before["addresses"].values() for each in network}
        mine = [port for port in ports if shown & {fixed["ip_address"] for fixed in port["fixed_ips"]}]
        lacks = [f"port {port['id']} is {port['status']}" for port in mine if port["status"] != "ACTIVE"]
        lacks += [] if mine else ["it shows no address of a port"]
        if self._server() == before and not self.quiet.is_set():
            self.looks += 1
            self.wrong += lacks


def _rests(server: dict[str, Any] | None) -> bool:
    return server is not None and server["status"] == "ACTIVE" and not server["OS-EXT-STS:task_state"]
