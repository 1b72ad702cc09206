"""Key pairs have numbers of their own, as the API shows them."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("keypairs", sa.Column("number", sa.Integer(), nullable=False, server_default="0"))
    keys = sa.table("keypairs", sa.column("user_id"), sa.column("name"), sa.column("number"), sa.column("created_at"))
    store = op.get_bind()
    known = store.execute(sa.select(keys.c.user_id, keys.c.name).order_by(keys.c.created_at, keys.c.name)).all()
    for number, row in enumerate(known, 1):
        this = (keys.c.user_id == row.user_id, keys.c.name == row.name)
        store.execute(sa.update(keys).where(*this).values(number=number))


def downgrade() -> None:
    with op.batch_alter_table("keypairs") as keypairs:
        keypairs.drop_column("number")
