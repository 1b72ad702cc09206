"""RBAC policies, pools and scopes, QoS, trunks, port forwardings, address groups; `shared` becomes a policy."""

import uuid
from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

NETWORKS = sa.table("networks", *(sa.column(name) for name in ("id", "project_id", "shared", "external")))
POLICIES = sa.table(
    "rbac_policies",
    *(
        sa.column(name)
        for name in (
            "id",
            "project_id",
            "description",
            "revision_number",
            "object_type",
            "object_id",
            "action",
            "target_project",
        )
    ),
    sa.column("created_at", sa.DateTime(timezone=True)),
    sa.column("updated_at", sa.DateTime(timezone=True)),
)


def _standard(*, named: bool = True) -> list[sa.Column[str]]:
    columns: list[sa.Column[str]] = [
        sa.Column("id", sa.String(36), nullable=False, primary_key=True),
        sa.Column("project_id", sa.String(64), nullable=False, index=True),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("revision_number", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    ]
    return [*columns, sa.Column("name", sa.String(255), nullable=False, index=True)] if named else columns


def _to(table: str, name: str, target: str, *, cascade: bool = False) -> sa.ForeignKeyConstraint:
    ondelete = "CASCADE" if cascade else None
    return sa.ForeignKeyConstraint([name], [f"{target}.id"], f"fk_{table}_{name}", ondelete=ondelete)


def upgrade() -> None:
    _shares()
    _qos()
    _trunks()
    _forwardings()
    op.create_table("address_groups", *_standard(), sa.Column("addresses", sa.JSON(), nullable=False))
    with op.batch_alter_table("security_groups") as table:
        table.add_column(sa.Column("stateful", sa.Boolean(), nullable=False, server_default=sa.true()))
    _refer("security_group_rules", "remote_address_group_id", "address_groups")
    _refer("ports", "qos_policy_id", "qos_policies")
    _refer("networks", "qos_policy_id", "qos_policies")
    _refer("subnets", "subnetpool_id", "subnet_pools")
    with op.batch_alter_table("subnets") as table:
        table.add_column(sa.Column("service_types", sa.JSON(), nullable=False, server_default="[]"))
    with op.batch_alter_table("routers") as table:
        table.add_column(sa.Column("availability_zone_hints", sa.JSON(), nullable=False, server_default="[]"))
    _share_networks()
    with op.batch_alter_table("networks") as table:
        table.add_column(sa.Column("availability_zone_hints", sa.JSON(), nullable=False, server_default="[]"))
        table.add_column(sa.Column("is_default", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.drop_column("shared")


def _refer(name: str, column: str, target: str) -> None:
    with op.batch_alter_table(name) as table:
        table.add_column(sa.Column(column, sa.String(36)))
        table.create_foreign_key(f"fk_{name}_{column}", target, [column], ["id"])
        table.create_index(f"ix_{name}_{column}", [column])


def _shares() -> None:
    op.create_table(
        "rbac_policies",
        *_standard(named=False),
        sa.Column("object_type", sa.String(32), nullable=False, index=True),
        sa.Column("object_id", sa.String(36), nullable=False, index=True),
        sa.Column("action", sa.String(32), nullable=False),
        sa.Column("target_project", sa.String(64), nullable=False, index=True),
        sa.UniqueConstraint("object_id", "action", "target_project", name="uq_rbac_policies_object_id"),
    )
    op.create_table("address_scopes", *_standard(), sa.Column("ip_version", sa.Integer(), nullable=False))
    op.create_table(
        "subnet_pools",
        *_standard(),
        sa.Column("ip_version", sa.Integer(), nullable=False),
        sa.Column("prefixes", sa.JSON(), nullable=False),
        *(sa.Column(f"{which}_prefixlen", sa.Integer(), nullable=False) for which in ("default", "min", "max")),
        sa.Column("default_quota", sa.Integer()),
        sa.Column("is_default", sa.Boolean(), nullable=False),
        sa.Column("address_scope_id", sa.String(36), index=True),
        _to("subnet_pools", "address_scope_id", "address_scopes"),
    )
    op.create_table(
        "auto_topologies",
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("network_id", sa.String(36), nullable=False, index=True),
        sa.Column("router_id", sa.String(36), nullable=False, index=True),
        sa.PrimaryKeyConstraint("project_id", name="pk_auto_topologies"),
        _to("auto_topologies", "network_id", "networks", cascade=True),
        _to("auto_topologies", "router_id", "routers", cascade=True),
    )


def _qos() -> None:
    op.create_table(
        "qos_policies",
        *_standard(),
        sa.Column("default_of", sa.String(64)),
        sa.UniqueConstraint("default_of", name="uq_qos_policies_default_of"),
    )
    op.create_table(
        "qos_bandwidth_limits",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("policy_id", sa.String(36), nullable=False),
        sa.Column("direction", sa.String(8), nullable=False),
        sa.Column("max_kbps", sa.Integer(), nullable=False),
        sa.Column("max_burst_kbps", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_qos_bandwidth_limits"),
        sa.UniqueConstraint("policy_id", "direction", name="uq_qos_bandwidth_limits_policy_id"),
        _to("qos_bandwidth_limits", "policy_id", "qos_policies", cascade=True),
    )


def _trunks() -> None:
    op.create_table(
        "trunks",
        *_standard(),
        sa.Column("port_id", sa.String(36), nullable=False),
        sa.Column("admin_state_up", sa.Boolean(), nullable=False),
        sa.UniqueConstraint("port_id", name="uq_trunks_port_id"),
        _to("trunks", "port_id", "ports"),
    )
    op.create_table(
        "trunk_subports",
        sa.Column("port_id", sa.String(36), nullable=False),
        sa.Column("trunk_id", sa.String(36), nullable=False),
        sa.Column("segmentation_type", sa.String(16), nullable=False),
        sa.Column("segmentation_id", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("port_id", name="pk_trunk_subports"),
        sa.UniqueConstraint("trunk_id", "segmentation_type", "segmentation_id", name="uq_trunk_subports_trunk_id"),
        _to("trunk_subports", "port_id", "ports"),
        _to("trunk_subports", "trunk_id", "trunks", cascade=True),
    )


def _forwardings() -> None:
    op.create_table(
        "port_forwardings",
        *_standard(named=False),
        sa.Column("floatingip_id", sa.String(36), nullable=False, index=True),
        sa.Column("internal_port_id", sa.String(36), nullable=False, index=True),
        sa.Column("internal_ip_address", sa.String(15), nullable=False),
        sa.Column("protocol", sa.String(8), nullable=False),
        *(
            sa.Column(f"{side}_{end}", sa.Integer(), nullable=False)
            for side in ("external", "internal")
            for end in ("first", "last")
        ),
        _to("port_forwardings", "floatingip_id", "floating_ips", cascade=True),
        _to("port_forwardings", "internal_port_id", "ports", cascade=True),
    )


def _share_networks() -> None:
    """A shared network is one that every project may use as if it were shared with it."""
    connection, now = op.get_bind(), datetime.now(UTC)
    for row in connection.execute(sa.select(NETWORKS)).mappings().all():
        actions = [
            name for name, column in (("access_as_shared", "shared"), ("access_as_external", "external")) if row[column]
        ]
        for action in actions:
            values = {"object_type": "network", "object_id": row["id"], "action": action, "target_project": "*"}
            standard = {
                "id": str(uuid.uuid4()),
                "project_id": row["project_id"],
                "description": "",
                "revision_number": 1,
                "created_at": now,
                "updated_at": now,
            }
            connection.execute(sa.insert(POLICIES).values(standard | values))


def downgrade() -> None:
    raise NotImplementedError("Policies of single projects do not fit into the older schema; restore a backup instead.")
