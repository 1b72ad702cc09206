"""Routers, floating addresses, hosts; networks get a VXLAN identifier, addresses get room for IPv6."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

NETWORKS = sa.table(
    "networks", *(sa.column(name) for name in ("id", "created_at", "network_type", "segmentation_id", "mtu"))
)
NUMBERS = (("port_addresses", "number", ("subnet_id", "ip_address")), ("subnets", "next_number", ("id",)))
WIDER = (("port_addresses", "ip_address", 15, 39), ("subnets", "cidr", 18, 43), ("subnets", "gateway_ip", 15, 39))


def upgrade() -> None:
    _hosts()
    _routers()
    _floating_ips()
    with op.batch_alter_table("network_ledger") as table:
        table.alter_column("filters", new_column_name="topology", existing_type=sa.BigInteger())
    with op.batch_alter_table("networks") as table:
        table.add_column(sa.Column("segmentation_id", sa.Integer()))
        table.add_column(sa.Column("dns_domain", sa.String(255), nullable=False, server_default=""))
        table.add_column(sa.Column("dhcp_host", sa.String(255)))
        table.create_index("ix_networks_dhcp_host", ["dhcp_host"])
        table.create_unique_constraint("uq_networks_segmentation_id", ["segmentation_id"])
    with op.batch_alter_table("subnets") as table:
        table.add_column(sa.Column("ip_version", sa.Integer(), nullable=False, server_default="4"))
        table.add_column(sa.Column("ipv6_ra_mode", sa.String(16)))
        table.add_column(sa.Column("ipv6_address_mode", sa.String(16)))
    for name, column, old, new in WIDER:
        with op.batch_alter_table(name) as table:
            table.alter_column(column, existing_type=sa.String(old), type_=sa.String(new))
    for name, column, key in NUMBERS:
        _widen(name, column, key)
    _number_networks()


def _hosts() -> None:
    op.create_table(
        "network_hosts",
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("tunnel_ip", sa.String(39), nullable=False),
        sa.Column("bridge_mappings", sa.JSON(), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_network_hosts"),
        sa.UniqueConstraint("id", name="uq_network_hosts_id"),
    )


def _standard() -> list[sa.Column[str]]:
    return [
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("project_id", sa.String(64), nullable=False, index=True),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    ]


def _routers() -> None:
    op.create_table(
        "routers",
        *_standard(),
        sa.Column("name", sa.String(255), nullable=False, index=True),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.Column("enable_snat", sa.Boolean(), nullable=False),
        sa.Column("routes", sa.JSON(), nullable=False),
        sa.Column("host", sa.String(255), index=True),
        sa.Column("status", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_routers"),
    )


def _floating_ips() -> None:
    owner = {"port_id": "ports", "router_id": "routers", "floating_network_id": "networks", "floating_port_id": "ports"}
    op.create_table(
        "floating_ips",
        *_standard(),
        sa.Column("floating_network_id", sa.String(36), nullable=False, index=True),
        sa.Column("floating_ip_address", sa.String(15), nullable=False, index=True),
        sa.Column("floating_port_id", sa.String(36), nullable=False),
        sa.Column("port_id", sa.String(36), index=True),
        sa.Column("fixed_ip_address", sa.String(15)),
        sa.Column("router_id", sa.String(36), index=True),
        sa.Column("status", sa.String(16), nullable=False),
        *(sa.ForeignKeyConstraint([name], [f"{table}.id"], f"fk_floating_ips_{name}") for name, table in owner.items()),
        sa.PrimaryKeyConstraint("id", name="pk_floating_ips"),
        sa.UniqueConstraint("floating_port_id", name="uq_floating_ips_floating_port_id"),
        sa.UniqueConstraint("port_id", "fixed_ip_address", "floating_network_id", name="uq_floating_ips_port_id"),
    )


def _widen(name: str, column: str, key: tuple[str, ...]) -> None:
    """The column's integers become 32 hexadecimal digits, whose order is the same."""
    with op.batch_alter_table(name) as table:
        table.alter_column(
            column, existing_type=sa.BigInteger(), type_=sa.String(32), postgresql_using=f"{column}::varchar"
        )
    rows = sa.table(name, *(sa.column(each) for each in (*key, column)))
    connection = op.get_bind()
    for row in connection.execute(sa.select(rows)).mappings().all():
        same = sa.and_(*(rows.c[each] == row[each] for each in key))
        connection.execute(sa.update(rows).where(same).values({column: f"{int(row[column]):032x}"}))


def _number_networks() -> None:
    """Networks that were bridges of one host each become VXLANs, whose headers take 50 bytes of each packet."""
    connection = op.get_bind()
    local = sa.select(NETWORKS.c.id).where(NETWORKS.c.network_type == "local").order_by(NETWORKS.c.created_at)
    for number, network_id in enumerate(connection.execute(local).scalars().all(), start=1):
        values = {"network_type": "vxlan", "segmentation_id": number}
        connection.execute(sa.update(NETWORKS).where(NETWORKS.c.id == network_id).values(values))
    vxlan = sa.and_(NETWORKS.c.network_type == "vxlan", NETWORKS.c.mtu == 1500)
    connection.execute(sa.update(NETWORKS).where(vxlan).values(mtu=1450))


def downgrade() -> None:
    raise NotImplementedError("Addresses of IPv6 do not fit into the older schema; restore a backup instead.")
