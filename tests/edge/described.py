"""A service's OpenAPI document with what it leaves out: bodies by the templates, known ids, filters and versions."""

import copy
from typing import Any
from zlib import crc32

from tests.edge import malformed, templates

Json = dict[str, Any]
NEWEST = {
    "compute": "compute 2.104", "placement": "placement 1.39", "volume": "volume 3.71", "network": "network 2.0",
}  # fmt: skip


def schema_of(value: Any, known: frozenset[str] = frozenset()) -> Json:
    """A schema that `value` fulfils: its types and names, each of them needed; ids that are `known` stay."""
    match value:
        case None:
            return {}
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer"}
        case str():
            return {"enum": [value]} if value in known else {"anyOf": [{"enum": [value]}, {"type": "string"}]}
        case list():
            return {"type": "array", "items": schema_of(value[0], known) if value else {}}
        case dict():
            inner = {name: schema_of(each, known) for name, each in value.items()}
            return {"type": "object", "properties": inner, "required": list(value), "additionalProperties": False}
    raise TypeError(type(value))


def with_everything(openapi: Json, service: str, ids: dict[str, str]) -> Json:
    """The document with a schema for each request body, path parameter and filter; DELETE finds nothing."""
    found = copy.deepcopy(openapi)
    for route in malformed.routes(openapi):
        about = found["paths"][route.path][route.method.lower()]
        about["parameters"] = [_in_path(name, route.method, ids) for name in route.names]
        if route.method == "GET":
            about["parameters"] += [_parameter(name, "query", {"type": "string"}) for name in some(route.path)]
        version = {"enum": [NEWEST[service], f"{service} latest"]}
        about["parameters"].append(_parameter("OpenStack-API-Version", "header", version))
        bodies: list[Json] = templates.of(service, route.method, route.path, ids)
        if route.method in ("POST", "PUT", "PATCH"):
            schema = (
                {"anyOf": [schema_of(body, frozenset(ids.values())) for body in bodies]}
                if bodies
                else {"type": "object"}
            )
            about["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    return found


def some(path: str) -> list[str]:
    """Four of the filters, others for each path: a strategy over all of them takes a second to make."""
    first = crc32(path.encode()) % len(malformed.QUERIES)
    return (malformed.QUERIES * 2)[first : first + 4]


def _in_path(name: str, method: str, ids: dict[str, str]) -> Json:
    known = method != "DELETE" and name in ids
    schema: Json = {"enum": [ids[name]]} if known else {"type": "string", "minLength": 1}
    return _parameter(name, "path", schema) | {"required": True}


def _parameter(name: str, place: str, schema: Json) -> Json:
    return {"name": name, "in": place, "schema": schema}
