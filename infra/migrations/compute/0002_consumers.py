"""A claim belongs to a consumer (an instance, a migration, a reservation); ports are known without opening the request."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "claims",
        sa.Column("consumer_id", sa.String(36), primary_key=True),
        sa.Column("instance_id", sa.String(36), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("vcpus", sa.Integer(), nullable=False),
        sa.Column("memory_mb", sa.Integer(), nullable=False),
        sa.Column("disk_gb", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(), nullable=False),
    )
    op.execute(
        "INSERT INTO claims SELECT instance_id, instance_id, 'instance', host, attempt, vcpus, memory_mb, disk_gb, "
        "created_at FROM allocations"
    )
    op.drop_table("allocations")
    op.rename_table("claims", "allocations")
    op.create_index("ix_allocations_host", "allocations", ["host"])
    op.create_index("ix_allocations_instance_id", "allocations", ["instance_id"])
    op.add_column("instances", sa.Column("requested_ports", sa.JSON(), nullable=False, server_default="{}"))
    op.add_column("instances", sa.Column("request_digest", sa.String(64), nullable=False, server_default=""))


def downgrade() -> None:
    raise NotImplementedError("a claim of a migration has no place in the older schema")
