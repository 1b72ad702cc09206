"""JSON schemas of the API's bodies, which clients ask for to learn an image's fields."""

from typing import Any

from api.image.fields import CONTAINER_FORMATS, DISK_FORMATS, ID, MAX_NUMBER, MAX_TEXT, READ_ONLY, VISIBILITIES

Schema = dict[str, Any]


def _text(description: str, *, null: bool = False, limit: int = MAX_TEXT) -> Schema:
    return {"type": ["null", "string"] if null else "string", "maxLength": limit, "description": description}


def _choice(description: str, choices: tuple[str, ...], *, null: bool = False) -> Schema:
    kinds: list[str] | str = ["null", "string"] if null else "string"
    return {"type": kinds, "enum": [None, *choices] if null else list(choices), "description": description}


def _number(description: str, *, null: bool = False) -> Schema:
    found: Schema = {"type": ["null", "integer"] if null else "integer", "description": description}
    return found if null else {**found, "minimum": 0, "maximum": MAX_NUMBER}


def _link(description: str) -> Schema:
    return {"type": "string", "description": description}


IMAGE: Schema = {
    "name": "image",
    "properties": {
        "id": {"type": "string", "pattern": ID.pattern, "description": "Identifier of the image"},
        "name": _text("Name that describes the image", null=True),
        "status": _link("Status of the image"),
        "visibility": _choice("Who may use the image", VISIBILITIES),
        "protected": {"type": "boolean", "description": "Whether the image is kept from being deleted"},
        "os_hidden": {"type": "boolean", "description": "Whether lists leave the image out"},
        "checksum": _text("MD5 of the data", null=True, limit=32),
        "os_hash_algo": _text("Algorithm of os_hash_value", null=True, limit=64),
        "os_hash_value": _text("Hexadecimal hash of the data", null=True, limit=128),
        "owner": _text("Project that owns the image", null=True),
        "size": _number("Size of the data in bytes", null=True),
        "virtual_size": _number("Size of the disk that a guest sees, in bytes", null=True),
        "container_format": _choice("Format of the container", CONTAINER_FORMATS, null=True),
        "disk_format": _choice("Format of the disk", DISK_FORMATS, null=True),
        "min_disk": _number("Disk in GiB that a guest needs"),
        "min_ram": _number("Memory in MiB that a guest needs"),
        "created_at": _link("When the image was created"),
        "updated_at": _link("When the image was changed last"),
        "tags": {"type": "array", "items": {"type": "string", "maxLength": MAX_TEXT}, "description": "Tags"},
        "self": _link("Path of the image"),
        "file": _link("Path of the data"),
        "schema": _link("Path of the schema"),
    },
    "additionalProperties": {"type": "string"},
    "links": [
        {"rel": "self", "href": "{self}"},
        {"rel": "enclosure", "href": "{file}"},
        {"rel": "describedby", "href": "{schema}"},
    ],
}
for _name in READ_ONLY:
    if _name in IMAGE["properties"]:
        IMAGE["properties"][_name]["readOnly"] = True

MEMBER: Schema = {
    "name": "member",
    "properties": {
        "image_id": {"type": "string", "pattern": ID.pattern, "description": "Identifier of the image"},
        "member_id": _link("Project with which the image is shared"),
        "status": _choice("What the project made of it", ("pending", "accepted", "rejected")),
        "created_at": _link("When the member was added"),
        "updated_at": _link("When the member was changed last"),
        "schema": _link("Path of the schema"),
    },
}


def _container(name: str, of: Schema) -> Schema:
    links = [{"rel": "describedby", "href": "{schema}"}]
    properties: Schema = {name: {"type": "array", "items": of}, "schema": {"type": "string"}}
    if name == "images":
        properties |= {"first": {"type": "string"}, "next": {"type": "string"}}
        links += [{"rel": "first", "href": "{first}"}, {"rel": "next", "href": "{next}"}]
    return {"name": name, "properties": properties, "links": links}


SCHEMAS: dict[str, Schema] = {
    "image": IMAGE,
    "images": _container("images", IMAGE),
    "member": MEMBER,
    "members": _container("members", MEMBER),
}
