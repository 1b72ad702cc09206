"""Alembic environment for every service: the caller names the store and its metadata in `config.attributes`."""

from importlib import import_module

from alembic import context
from sqlmodel import create_engine

service = context.config.attributes["service"]
metadata = import_module(f"infra.tables.{service}").metadata
engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=f"alembic_version_{service}",
        render_as_batch=engine.dialect.name == "sqlite",
    )
    with context.begin_transaction():
        context.run_migrations()
