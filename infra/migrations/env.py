"""Alembic environment for every service: the caller names the store and its metadata in `config.attributes`."""

from importlib import import_module
from typing import Any

from alembic import context
from sqlalchemy import Connection, event
from sqlmodel import create_engine

service = context.config.attributes["service"]
metadata = import_module(f"infra.tables.{service}").metadata
engine = create_engine(context.config.attributes["url"])
sqlite = engine.dialect.name == "sqlite"
if sqlite:  # a migration that is killed half-way must leave nothing: DDL belongs into the transaction

    @event.listens_for(engine, "connect")
    def _explicit(dbapi: Any, _record: object) -> None:
        dbapi.isolation_level = None

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        version_table=f"alembic_version_{service}",
        render_as_batch=sqlite,
        transactional_ddl=True,
    )
    with context.begin_transaction():
        context.run_migrations()
