"""Ephemeral and swap disks of servers, and those that a resize goes back to."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
COLUMNS = {"instances": "local_disks", "migrations": "old_local_disks"}


def upgrade() -> None:
    for table, column in COLUMNS.items():
        op.add_column(table, sa.Column(column, sa.JSON(), nullable=False, server_default="[]"))


def downgrade() -> None:
    for table, column in COLUMNS.items():
        with op.batch_alter_table(table) as changed:
            changed.drop_column(column)
