"""Volume types with access and defaults, transfers, work that goes on after a crash."""

from datetime import UTC, datetime

import sqlalchemy as sa
import sqlmodel
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

FIRST_TYPE = "6f1f7d5c-7a0e-5a4b-9d0f-6e6264000001"


def text(length: int) -> sqlmodel.sql.sqltypes.AutoString:
    return sqlmodel.sql.sqltypes.AutoString(length=length)


def upgrade() -> None:
    types = op.create_table(
        "volume_types",
        sa.Column("id", text(36), nullable=False),
        sa.Column("name", text(255), nullable=False),
        sa.Column("description", text(255), nullable=True),
        sa.Column("is_public", sa.Boolean(), nullable=False),
        sa.Column("extra_specs", sa.JSON(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("name"),
    )
    first = {
        "id": FIRST_TYPE,
        "name": "nbd",
        "description": "Sparse raw files, reached over NBD",
        "is_public": True,
        "extra_specs": {},
        "created_at": datetime.now(UTC),
    }
    op.bulk_insert(types, [first])
    for table in ("volume_type_access", "default_types"):
        key = ["type_id", "project_id"] if table == "volume_type_access" else ["project_id"]
        op.create_table(
            table,
            sa.Column("type_id", text(36), nullable=False),
            sa.Column("project_id", text(64), nullable=False),
            sa.ForeignKeyConstraint(["type_id"], ["volume_types.id"]),
            sa.PrimaryKeyConstraint(*key),
        )
    _transfers()
    with op.batch_alter_table("volumes") as volumes:
        volumes.add_column(sa.Column("volume_type_id", text(36), nullable=False, server_default=FIRST_TYPE))
        volumes.add_column(sa.Column("multiattach", sa.Boolean(), nullable=False, server_default=sa.false()))
        volumes.add_column(sa.Column("target_size", sa.Integer(), nullable=True))
        volumes.add_column(sa.Column("task", sa.JSON(), nullable=True))
    with op.batch_alter_table("attachments") as attachments:
        attachments.add_column(sa.Column("legacy", sa.Boolean(), nullable=False, server_default=sa.false()))


def _transfers() -> None:
    op.create_table(
        "transfers",
        sa.Column("id", text(36), nullable=False),
        sa.Column("volume_id", text(36), nullable=False),
        sa.Column("source_project_id", text(64), nullable=False),
        sa.Column("name", text(255), nullable=True),
        sa.Column("salt", text(64), nullable=False),
        sa.Column("key_hash", text(128), nullable=False),
        sa.Column("no_snapshots", sa.Boolean(), nullable=False),
        sa.Column("created_at", sqlmodel.sql.sqltypes.UTCDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["volume_id"], ["volumes.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("volume_id"),
    )
    with op.batch_alter_table("transfers") as transfers:
        transfers.create_index("ix_transfers_source_project_id", ["source_project_id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("attachments") as attachments:
        attachments.drop_column("legacy")
    with op.batch_alter_table("volumes") as volumes:
        for column in ("task", "target_size", "multiattach", "volume_type_id"):
            volumes.drop_column(column)
    for table in ("transfers", "default_types", "volume_type_access", "volume_types"):
        op.drop_table(table)
