"""Servers that are copied, not booted: rows and things of one that was brought to a state, under ids of their own.

A test of an action wants a server in a state; how it came there is what other tests are about."""

import json
import re
import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import delete
from sqlmodel import select

from infra.codec import KeyRing
from infra.database import Database
from infra.stores.actions import shelved_image
from infra.tables.compute import ActionEvent, Allocation, Instance, InstanceAction, MigrationRecord
from tests.frame.world import World
from tests.ids import stable_id

TABLES: tuple[Any, ...] = (Instance, Allocation, MigrationRecord, InstanceAction, ActionEvent)
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHARED = "-0000-4000-8000-"
"""In ids that every server's requests name: see `tests.workflows.ways`."""
UNREAD = ("fault", "number", "request_digest", "sealed_request")
"""What no delete reads: words, what is counted over all servers, and seals, which are new each time."""


@dataclass
class Model:
    """What there is of one server: `rows` by table; `here` by host, `anywhere` and the rest as in `World`."""

    instance_id: str
    rows: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    here: dict[str, list[Any]] = field(default_factory=dict)
    anywhere: list[Any] = field(default_factory=list)
    power: int | None = None
    parted: list[Any] = field(default_factory=list)
    at: list[Any] = field(default_factory=list)
    shelving: list[str] = field(default_factory=list)

    def ids(self) -> set[str]:
        """The server's, and of all that was made for it."""
        keys = [value for table, row in self.rows for value in _keys(table, row) if UUID.fullmatch(value)]
        things = [thing[2] for all in (*self.here.values(), self.anywhere) for thing in all]
        found = {self.instance_id, *keys, *(what for what in things if UUID.fullmatch(what))}
        return {id for id in found if SHARED not in id}

    def names(self) -> list[str]:
        """Of ids that follow from the server's own."""
        asked = {row["request_id"] for table, row in self.rows if table is InstanceAction}
        numbered = [f"{kind}/{n}" for kind in ("port", "volume", "attachment") for n in range(4)]
        return numbered + [f"{kind}/{request}" for kind in ("image", "migration") for request in asked]

    def renamed(self) -> dict[str, str]:
        """Each id → that of the same thing of another server."""
        ids = {id: str(uuid.uuid4()) for id in self.ids()}
        for name in self.names():
            if (known := stable_id(self.instance_id, name)) in ids:
                ids[known] = stable_id(ids[self.instance_id], name)
        return ids


def _keys(table: Any, row: dict[str, Any]) -> list[str]:
    return [str(row[column.name]) for column in table.__table__.primary_key.columns]


def _renamed(value: Any, ids: dict[str, str]) -> Any:
    if isinstance(value, str):
        return UUID.sub(lambda found: ids.get(found[0], found[0]), value)
    if isinstance(value, dict):
        return {_renamed(name, ids): _renamed(each, ids) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_renamed(each, ids) for each in value)
    return value


def _number(text: str, ids: dict[str, str]) -> str:
    """The text with a number for each server's own id, by where it comes first; `ids` knows those numbers."""
    return UUID.sub(lambda id: id[0] if SHARED in id[0] else ids.setdefault(id[0], f"id {len(ids)}"), text)


def _in_order(things: Any) -> Any:
    """The same for the same things under other ids."""
    if isinstance(things, dict):
        return {host: _in_order(each) for host, each in things.items()}
    return sorted(things, key=lambda thing: UUID.sub("", str(thing)))


class Copies:
    """Of servers in one cloud's records; what else there is of them is in its world."""

    def __init__(self, database: Database, ring: KeyRing) -> None:
        self._database, self._ring = database, ring
        self._models: dict[tuple[str, ...], Model] = {}

    def keep(self, world: World, before: tuple[str, ...], instance_id: str) -> None:
        """This server, to which these actions were done, is the model of its like."""
        self._models[before] = self._look(world, instance_id)

    def likeness(self, world: World, instance_id: str) -> str:
        """The same of servers that a delete cannot tell apart: all that there is of one, but for times, words of faults
        and which ids they are."""
        model = self._look(world, instance_id)
        rows = [
            (table.__tablename__, {k: v for k, v in row.items() if not isinstance(v, datetime) and k not in UNREAD})
            for table, row in model.rows
            if table not in (InstanceAction, ActionEvent)
        ]
        with self._database.read() as session:
            server = session.get_one(Instance, instance_id)
            image = shelved_image(session, server, ever=True)
        devices = [(device, volume) for (id, device), volume in world.disks.items() if id == instance_id]
        held = [(thing[2], thing[2] in world.in_use) for thing in model.anywhere if thing[0] == "attachment"]
        ids: dict[str, str] = {}
        _number(json.dumps([instance_id, server.networks, server.volumes, image]), ids)
        things = [model.here, model.anywhere, model.parted, model.at, model.shelving, devices, held]
        listed = [_in_order(_renamed(each, ids)) for each in things]
        return _number(
            json.dumps([_renamed(rows, ids), image and ids[image], model.power, listed], sort_keys=True), ids
        )

    def erase(self, world: World, instance_id: str) -> None:
        """What its delete takes away, and its rows."""
        with self._database.write() as session:
            for table in TABLES:
                session.execute(
                    delete(table).where((table.id if table is Instance else table.instance_id) == instance_id)
                )
        with world.guard:
            for things in (*world.here.values(), world.anywhere):
                things -= {thing for thing in things if thing[1] == instance_id}
            world.parted -= {each for each in world.parted if each[0] == instance_id}
            world.at = {key: host for key, host in world.at.items() if key[0] != instance_id}
            world.power.pop(instance_id, None)

    def _look(self, world: World, instance_id: str) -> Model:
        model = Model(instance_id)
        with self._database.read() as session:
            for table in TABLES:
                of = table.id if table is Instance else table.instance_id
                for row in session.exec(select(table).where(of == instance_id)).all():
                    model.rows.append((table, row.model_dump()))
        for _, row in model.rows:
            if row.get("sealed_request"):
                row["sealed_request"] = self._ring.unseal(row["sealed_request"])
        with world.guard:
            model.here = {host: [t for t in all if t[1] == instance_id] for host, all in world.here.items()}
            model.anywhere = [thing for thing in world.anywhere if thing[1] == instance_id]
            model.power = world.power.get(instance_id)
            model.parted = [each for each in world.parted if each[0] == instance_id]
            model.at = [(*key, host) for key, host in world.at.items() if key[0] == instance_id]
        model.shelving = [what for _, _, what in model.anywhere if what in world.shelving]
        return model

    def another(self, world: World, before: tuple[str, ...]) -> str | None:
        """Id of a new server like the one to which these actions were done; None before there was one."""
        model = self._models.get(before)
        if model is None:
            return None
        ids = model.renamed()
        with self._database.write() as session:
            for table, row in model.rows:
                values = _renamed(row, ids)
                if table is ActionEvent:
                    values["id"] = None
                if values.get("sealed_request"):
                    values["sealed_request"] = self._ring.seal(values["sealed_request"])
                session.add(table(**values))
        copied = ids[model.instance_id]
        with world.guard:
            for host, things in model.here.items():
                world.here.setdefault(host, set()).update(_renamed(things, ids))
            world.anywhere.update(_renamed(model.anywhere, ids))
            world.parted.update(_renamed(model.parted, ids))
            world.at.update({(id, what): host for id, what, host in _renamed(model.at, ids)})
            world.shelving.update(_renamed(model.shelving, ids))
            if model.power is not None:
                world.power[copied] = model.power
        return copied
