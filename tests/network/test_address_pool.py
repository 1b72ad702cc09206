"""Choosing addresses out of a /16, at the level of the store: order, exhaustion, cost."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import insert
from sqlmodel import Session

from api.common.errors import ServiceError
from api.network.model.addresses import assign
from api.network.store import Store
from infra.database import Database
from infra.tables.network import Network, Port, PortAddress, Subnet

FIRST, LAST = 10 * 2**24 + 2, 10 * 2**24 + 65534  # 10.0.0.2 to 10.0.255.254


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    database = Database("network", f"sqlite:///{tmp_path}/network.sqlite")
    database.migrate()
    store = Store(database)
    pool = {"start": "10.0.0.2", "end": "10.0.255.254"}
    with store.write() as session:
        session.add(Network(id="n", project_id="p"))
        session.flush()
        session.add(Subnet(id="s", project_id="p", network_id="n", cidr="10.0.0.0/16", allocation_pools=[pool]))
        session.add(Port(id="holder", project_id="p", network_id="n", mac_address="fa:16:3e:00:00:01"))
    yield store
    database.engine.dispose()


def fill(session: Session, numbers: list[int]) -> None:
    rows = [
        {"subnet_id": "s", "ip_address": ".".join(str(n >> s & 255) for s in (24, 16, 8, 0)), "number": n}
        for n in numbers
    ]
    session.execute(insert(PortAddress), [row | {"port_id": "holder"} for row in rows])


def choose(session: Session) -> int:
    (address,) = assign(session, session.get_one(Port, "holder"), None)
    session.add(address)
    session.flush()
    return address.number


def test_the_only_hole_is_found_wherever_it_is(store: Store) -> None:
    hole = FIRST + 40_000
    with store.write() as session:
        fill(session, [number for number in range(FIRST, LAST + 1) if number != hole])
        assert choose(session) == hole
        with pytest.raises(ServiceError) as full:
            choose(session)
        assert full.value.title == "IpAddressGenerationFailure"
        for freed in (FIRST, LAST):
            session.delete(session.get_one(PortAddress, ("s", f"10.0.{'255.254' if freed == LAST else '0.2'}")))
            session.flush()
            assert choose(session) == freed


def test_a_full_stretch_is_passed_once(store: Store) -> None:
    with store.write() as session:
        fill(session, list(range(FIRST, FIRST + 60_000)))
        session.flush()
        begun = time.process_time()
        assert [choose(session) for _ in range(100)] == list(range(FIRST + 60_000, FIRST + 60_100))
        assert time.process_time() - begun < 2.0, "the search goes on where it stopped, it does not begin anew"
