"""Certificates by which the signatures of a server's images must hold."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("instances", sa.Column("trusted_certificates", sa.JSON(), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("instances") as instances:
        instances.drop_column("trusted_certificates")
