"""A store of the first release, with data in it, becomes one of today."""

from pathlib import Path

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from sqlalchemy import text
from sqlmodel import select

from infra.database import MIGRATIONS, Database
from infra.tables.network import Network, PortAddress, Subnet, metadata

NETWORK = (
    "INSERT INTO networks (id, project_id, description, revision_number, created_at, updated_at, name, admin_state_up,"
    " shared, external, mtu, network_type, physical_network, port_security_enabled)"
    " VALUES ('{0}', 'p', '', 1, '2026-01-0{3} 00:00:00', '2026-01-01 00:00:00', '', 1, {4}, 0, 1500, '{1}', {2}, 1)"
)
SUBNET = (
    "INSERT INTO subnets (id, project_id, description, revision_number, created_at, updated_at, name, network_id, cidr,"
    " enable_dhcp, allocation_pools, dns_nameservers, host_routes, next_number) VALUES ('s', 'p', '', 1,"
    " '2026-01-01 00:00:00', '2026-01-01 00:00:00', '', 'a', '10.0.0.0/24', 1, '[]', '[]', '[]', 167772163)"
)
PORT = (
    "INSERT INTO ports (id, project_id, description, revision_number, created_at, updated_at, name, network_id,"
    " mac_address, admin_state_up, status, device_id, device_owner, host, vnic_type, profile, port_security_enabled,"
    " allowed_address_pairs, dns_name) VALUES ('q', 'p', '', 1, '2026-01-01 00:00:00', '2026-01-01 00:00:00', '', 'a',"
    " 'fa:16:3e:00:00:01', 1, 'ACTIVE', '', '', '', 'normal', '{}', 1, '[]', '')"
)
ADDRESS = "INSERT INTO port_addresses VALUES ('s', '10.0.0.2', 167772162, 'q')"


def upgrade(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", str(MIGRATIONS / "network"))
    config.attributes.update(url=database.url, service="network")
    command.upgrade(config, revision)


def test_data_of_the_first_release_is_kept(tmp_path: Path) -> None:
    database = Database("network", f"sqlite:///{tmp_path}/network.sqlite")
    upgrade(database, "0001")
    with database.engine.begin() as connection:
        for network in (("b", "local", "NULL", 2, 0), ("a", "local", "NULL", 1, 0), ("c", "flat", "'phys'", 3, 1)):
            connection.execute(text(NETWORK.format(*network)))
        for statement in (SUBNET, PORT, ADDRESS):
            connection.execute(text(statement.replace(":", r"\:")))
    database.migrate()
    with database.read() as session:
        networks = {row.id: row for row in session.exec(select(Network))}
        assert {row.id: (row.network_type, row.segmentation_id, row.mtu) for row in networks.values()} == {
            "a": ("vxlan", 1, 1450),
            "b": ("vxlan", 2, 1450),
            "c": ("flat", None, 1500),
        }
        subnet = session.exec(select(Subnet)).one()
        assert (subnet.ip_version, subnet.next_number) == (4, 167772163)
        address = session.exec(select(PortAddress)).one()
        assert (address.ip_address, address.number, address.port_id) == ("10.0.0.2", 167772162, "q")
    database.engine.dispose()


def test_migrations_end_where_the_tables_are(tmp_path: Path) -> None:
    database = Database("network", f"sqlite:///{tmp_path}/network.sqlite")
    database.migrate()
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"version_table": "alembic_version_network"})
        assert compare_metadata(context, metadata) == []
    database.engine.dispose()
