"""OS-DCF:diskConfig of a server: MANUAL or AUTO, as asked for last."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", sa.Column("disk_config", sa.String(6), nullable=False, server_default="MANUAL"))


def downgrade() -> None:
    with op.batch_alter_table("instances") as instances:
        instances.drop_column("disk_config")
