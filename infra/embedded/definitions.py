"""Metadata definitions: which properties and extra specs do something here, for clients that offer them by name.

Source: Glance's metadata definition schemas. Names and values are those of the table by which hosts build guests."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infra.contracts.machine import BOOL, PROPERTIES, SPECS, Rule

WORDS = re.compile(r"[\w-]+(\|[\w-]+)*")
NUMBER = re.compile(r"\[(0|1)-9\](\[0-9\])?\{\d,\d+\}")
ZONE = {"title": "availability_zone", "description": "zone of the aggregate's hosts", "type": "string"}
SHARED = {
    "title": "multiattach", "description": "a volume may be attached to several servers at once", "type": "string",
    "enum": ["<is> True"],
}  # fmt: skip

HINTS = {
    "same_host": {"title": "same_host", "description": "id of a server, to whose host this one goes", "type": "string"},
    "different_host": {
        "title": "different_host", "description": "id of a server, to whose host this one does not go",
        "type": "string",
    },
}  # fmt: skip


def namespaces() -> list[dict[str, Any]]:
    """Each as Glance's own definition files are written."""
    image = [{"name": "OS::Glance::Image"}, {"name": "OS::Cinder::Volume", "properties_target": "image"}]
    hints = [{"name": "OS::Nova::Server", "properties_target": "scheduler_hints"}]
    return [
        _namespace("OS::Kilonova::Image", "Image: the guest's machine", image, _schemas(PROPERTIES)),
        _namespace("OS::Kilonova::Flavor", "Flavor: the guest's machine", _only("OS::Nova::Flavor"), _schemas(SPECS)),
        _namespace("OS::Kilonova::Aggregate", "Aggregate", _only("OS::Nova::Aggregate"), {ZONE["title"]: ZONE}),
        _namespace("OS::Kilonova::VolumeType", "Volume type", _only("OS::Cinder::VolumeType"), {"multiattach": SHARED}),
        _namespace("OS::Kilonova::SchedulerHints", "Scheduler hints", hints, HINTS),
    ]


def load(folder: Path, engine: Any, *, fresh: bool) -> None:
    """Into Glance's store of `engine` when it is fresh, or had other ones from this `folder`. Safe to repeat: a
    namespace of the same name is replaced."""
    from glance.db.sqlalchemy import metadata

    folder.mkdir(exist_ok=True)
    for namespace in namespaces():
        text, file = json.dumps(namespace, indent=1), folder / f"{namespace['namespace'].rpartition('::')[2]}.json"
        if fresh or not file.exists() or file.read_text() != text:
            unfinished = file.with_suffix(".new")
            unfinished.write_text(text)
            metadata.db_load_metadefs(engine, str(unfinished), merge=True, overwrite=True)
            unfinished.rename(file)


def _only(resource_type: str) -> list[dict[str, str]]:
    return [{"name": resource_type}]


def _namespace(name: str, title: str, types: list[dict[str, str]], properties: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "namespace": name,
        "display_name": title,
        "description": "What Kilonova obeys; what it cannot, it refuses.",
    }
    fixed = {"visibility": "public", "protected": True, "owner": "admin"}
    return {**shown, **fixed, "resource_type_associations": types, "properties": properties}


def _schemas(rules: Mapping[str, Rule]) -> dict[str, dict[str, Any]]:
    return {name: {"title": name, "description": rule.what, **_type(rule.good)} for name, rule in rules.items()}


def _type(good: str) -> dict[str, Any]:
    if good == BOOL:
        return {"type": "boolean"}
    if NUMBER.fullmatch(good):
        return {"type": "integer"}
    return {"type": "string", "enum": good.split("|")} if WORDS.fullmatch(good) else {"type": "string"}
