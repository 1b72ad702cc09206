"""Random ports come and go on random subnets; a small model of the rules says what each request must answer."""

import random
import shutil
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from sqlmodel import Session, select

from api.common.errors import ServiceError
from api.network.model import ranges
from api.network.model.addresses import assign
from api.network.schemas.ports import FixedIp
from api.network.store import Store
from infra.database import Database
from infra.tables.network import Network, Port, PortAddress, Subnet

ROUNDS = 120


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that was migrated; copies are as empty."""
    file = tmp_path_factory.mktemp("empty") / "network.sqlite"
    database = Database("network", f"sqlite:///{file}")
    database.migrate()
    database.engine.dispose()
    return file


@pytest.fixture
def store(tmp_path: Path, empty: Path) -> Iterator[Store]:
    shutil.copy(empty, tmp_path)
    database = Database("network", f"sqlite:///{tmp_path}/network.sqlite")
    yield Store(database)
    database.engine.dispose()


def subnets(chance: random.Random) -> list[Subnet]:
    """One or two small IPv4 subnets, a small IPv6 one with DHCP, and one whose hosts make their own addresses."""
    found = []
    wanted = [
        ("10.0.0.0/28", None),
        ("10.0.1.0/29", None),
        ("fd00:1::/124", "dhcpv6-stateful"),
        ("fd00:2::/64", "slaac"),
    ]
    for number, (cidr, mode) in enumerate(wanted):
        if number and chance.random() < 0.3:
            continue
        network = ip_network(cidr)
        gateway = ranges.default_gateway(network) if chance.random() < 0.8 else None
        found.append(
            Subnet(
                id=f"{number:08}-0000-4000-8000-000000000000",
                project_id="p",
                network_id="n",
                ip_version=network.version,
                cidr=cidr,
                gateway_ip=gateway,
                ipv6_address_mode=mode,
                allocation_pools=ranges.default_pools(network, gateway),
            )
        )
    return found


class Model:
    """What is free, by Neutron's rules: an address belongs to one port; without a choice, pools are used up in turn."""

    def __init__(self, rows: list[Subnet]) -> None:
        self.rows, self.used = rows, dict[tuple[str, str], str]()

    def pool(self, row: Subnet) -> set[str]:
        cidr = ip_network(row.cidr)
        return {
            str(ranges.address(cidr, number))
            for first, last in ranges.spans(row.allocation_pools)
            for number in range(first, last + 1)
        }

    def free(self, row: Subnet) -> bool:
        return any((row.id, address) not in self.used for address in self.pool(row))

    def room(self) -> bool:
        """Whether a port that asks for nothing gets its address of each IP version that the network has."""
        for version in (4, 6):
            given = [row for row in self.rows if row.ip_version == version and not row.auto_addressed]
            if given and not any(self.free(row) for row in given):
                return False
        return True

    def check(self, session: Session) -> None:
        stored = {(one.subnet_id, one.ip_address): one.port_id for one in session.exec(select(PortAddress))}
        assert stored == self.used


def port(number: int) -> Port:
    return Port(id=f"port-{number}", project_id="p", network_id="n", mac_address=f"fa:16:3e:00:00:{number:02x}")


def asked(chance: random.Random, model: Model) -> list[FixedIp] | None:
    row = chance.choice(model.rows)
    kind = chance.random()
    if kind < 0.6 or row.auto_addressed:
        return None
    if kind < 0.8:
        return [FixedIp(subnet_id=row.id)]
    cidr = ip_network(row.cidr)
    number = chance.randrange(int(cidr.network_address), int(cidr.broadcast_address) + 1)
    return [FixedIp(ip_address=str(ranges.address(cidr, number)))]


def answer_of(model: Model, wanted: list[FixedIp] | None) -> str:
    """ "" when it is given, else the type of the refusal."""
    if wanted is None:
        return "" if model.room() else "IpAddressGenerationFailure"
    (one,) = wanted
    if one.subnet_id:
        row = next(row for row in model.rows if row.id == one.subnet_id)
        return "" if model.free(row) else "IpAddressGenerationFailure"
    row = next(row for row in model.rows if ranges.inside(ip_network(row.cidr), str(one.ip_address)))
    first, last = ranges.bounds(ip_network(row.cidr))
    if not first <= int(ip_address(str(one.ip_address))) <= last:
        return "InvalidIpForSubnet"
    return "IpAddressAlreadyAllocated" if (row.id, one.ip_address) in model.used else ""


@pytest.mark.turns
@pytest.mark.parametrize("seed", range(12))
def test_addresses_follow_the_model(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    model = Model(subnets(chance))
    with store.write() as session:
        session.add(Network(id="n", project_id="p"))
        session.flush()
        session.add_all([Subnet(**row.model_dump()) for row in model.rows])
    alive: list[Port] = []
    for number in range(ROUNDS):
        if alive and chance.random() < 0.35:
            gone = alive.pop(chance.randrange(len(alive)))
            with store.write() as session:
                session.delete(session.get_one(Port, gone.id))
            model.used = {key: holder for key, holder in model.used.items() if holder != gone.id}
            continue
        row, wanted = port(number), asked(chance, model)
        expected = answer_of(model, wanted)
        refused = ""
        with store.write() as session:
            try:
                have = assign(session, row, wanted)
            except ServiceError as error:
                refused = error.title
            else:
                session.add(row)
                session.flush()
                session.add_all(have)
        assert refused == expected, f"{wanted}, used {sorted(model.used)}"
        if not refused:
            alive.append(row)
            new = {(one.subnet_id, one.ip_address): row.id for one in have}
            assert not new.keys() & model.used.keys(), "an address twice"
            _check_new(model, row, wanted, set(new))
            model.used |= new
        with store.read() as session:
            model.check(session)


def _check_new(model: Model, row: Port, wanted: list[FixedIp] | None, new: set[tuple[str, str]]) -> None:
    """Chosen addresses come out of pools; every SLAAC subnet gives the address that follows from the MAC address."""
    by_id = {subnet.id: subnet for subnet in model.rows}
    for subnet in model.rows:
        if subnet.auto_addressed:
            assert (subnet.id, ranges.eui64(ip_network(subnet.cidr), row.mac_address)) in new
    chosen = [key for key in new if not by_id[key[0]].auto_addressed]
    if wanted is None:
        versions = {subnet.ip_version for subnet in model.rows if not subnet.auto_addressed}
        assert sorted(by_id[subnet_id].ip_version for subnet_id, _ in chosen) == sorted(versions)
    if wanted is None or wanted[0].subnet_id:
        assert all(address in model.pool(by_id[subnet_id]) for subnet_id, address in chosen)


@pytest.mark.parametrize("seed", range(60))
def test_pools_and_overlaps_against_plain_sets(seed: int) -> None:
    """Default pools are all host addresses but the gateway; subnets overlap exactly when they have an address in
    common; given pools are taken exactly when they lie inside, apart, and off the gateway."""
    chance = random.Random(seed)
    base = ip_network("10.0.0.0/24") if seed % 2 else ip_network("fd00::/120")
    cidr = chance.choice(list(base.subnets(new_prefix=chance.randint(base.prefixlen, base.max_prefixlen - 2))))
    hosts = {str(one) for one in cidr} - {str(cidr[0])} - ({str(cidr[-1])} if cidr.version == 4 else set())  # type: ignore[attr-defined]
    gateway = chance.choice([None, *sorted(hosts)])
    pools = ranges.default_pools(cidr, gateway)
    inside = {str(ranges.address(cidr, n)) for a, b in ranges.spans(pools) for n in range(a, b + 1)}
    assert inside == hosts - {gateway}
    other = chance.choice(list(base.subnets(new_prefix=chance.randint(base.prefixlen, base.max_prefixlen - 2))))
    try:
        ranges.check_overlap(cidr, "n", [str(other), "192.0.2.0/24", "2001:db8::/64"])
        overlaps = False
    except ServiceError:
        overlaps = True
    assert overlaps == bool({str(one) for one in cidr} & {str(one) for one in other})  # type: ignore[attr-defined]
    _check_given(chance, cidr, gateway)


def _check_given(chance: random.Random, cidr: ranges.Cidr, gateway: str | None) -> None:
    first, last = int(cidr.network_address), int(cidr.broadcast_address)
    given = []
    for _ in range(chance.randint(1, 3)):
        one, two = sorted(chance.randint(first, last) for _ in range(2))
        given.append({"start": str(ranges.address(cidr, one)), "end": str(ranges.address(cidr, two))})
    low, high = ranges.bounds(cidr)
    spans = [range(a, b + 1) for a, b in ranges.spans(given)]
    numbers = [number for span in spans for number in span]
    right = all(low <= number <= high for number in numbers) and len(set(numbers)) == len(numbers)
    right = right and (gateway is None or int(ip_address(gateway)) not in numbers)
    try:
        assert ranges.checked_pools(cidr, gateway, given) == given and right
    except ServiceError:
        assert not right
