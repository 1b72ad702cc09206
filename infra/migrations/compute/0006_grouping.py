"""Server groups, host aggregates, and the scheduler hints of a server; a host's zone is its aggregate's, else its own."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "server_groups",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(64), nullable=False),
        sa.Column("user_id", sa.String(64), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("policy", sa.String(), nullable=False),
        sa.Column("rules", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
    )
    op.create_index("ix_server_groups_project_id", "server_groups", ["project_id"])
    op.create_table(
        "aggregates",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("name", sa.String(255), nullable=False, unique=True),
        sa.Column("zone", sa.String(255), nullable=True),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
        sa.Column("updated_at", sa.DateTime(), nullable=True),
    )
    op.create_table(
        "aggregate_hosts",
        sa.Column("aggregate_id", sa.Integer(), sa.ForeignKey("aggregates.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("host", sa.String(255), primary_key=True),
    )
    op.create_index("ix_aggregate_hosts_host", "aggregate_hosts", ["host"])
    op.add_column("instances", sa.Column("server_group_id", sa.String(36), nullable=True))
    op.create_index("ix_instances_server_group_id", "instances", ["server_group_id"])
    op.add_column("instances", sa.Column("scheduler_hints", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("services", sa.Column("own_zone", sa.String(), nullable=False, server_default="nova"))
    op.execute("UPDATE services SET own_zone = zone")


def downgrade() -> None:
    raise NotImplementedError("a host's zone that its aggregate gives has no place in the older schema")
