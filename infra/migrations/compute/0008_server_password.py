"""The password that a guest chose and told, sealed."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", sa.Column("sealed_password", sa.String(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("instances") as instances:
        instances.drop_column("sealed_password")
