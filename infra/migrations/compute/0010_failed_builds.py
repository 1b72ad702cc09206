"""How many builds a host failed since it last built one, and when."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("compute_nodes", sa.Column("failed_builds", sa.Integer(), nullable=False, server_default="0"))
    op.add_column("compute_nodes", sa.Column("failed_at", sa.DateTime(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("compute_nodes") as nodes:
        nodes.drop_column("failed_at")
        nodes.drop_column("failed_builds")
