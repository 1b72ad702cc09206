"""The tree that guests read on 169.254.169.254, in OpenStack's form and in EC2's.

Source: Nova user guide, "Metadata service"; the EC2 form as cloud-init reads it."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from infra.host.metadata_format import EC2, FILES_SINCE, OPENSTACK, ec2, of_version

JSON, TEXT, BINARY = "application/json", "text/plain; charset=utf-8", "application/octet-stream"
CONTENT = "content"
Tree = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes = b""
    kind: str = TEXT


def _user_data(document: Tree) -> bytes | None:
    try:
        return base64.b64decode(document["user_data"], validate=True) if document.get("user_data") else None
    except binascii.Error:
        return None


def _openstack(document: Tree, vendor: Tree, version: str) -> Tree:
    known = {"meta_data.json": document["meta_data"], "network_data.json": document["network_data"], **vendor}
    tree: Tree = {name: (json.dumps(body).encode(), JSON) for name, body in of_version(version, known).items()}
    if _has_password(version):
        tree["password"] = (document.get("password", "").encode(), TEXT)
    data = _user_data(document)
    return tree | ({"user_data": (data, BINARY)} if data is not None else {})


def _has_password(version: str) -> bool:
    return version in OPENSTACK and version >= FILES_SINCE["password"]


def _ec2(document: Tree) -> Tree:
    tree = _leaves(ec2(document["meta_data"], document["ec2"]))
    if "public-keys" in tree:
        names = document["meta_data"]["public_keys"]
        tree["public-keys"] = {
            f"{at}={name}": key for (at, key), name in zip(tree["public-keys"].items(), names, strict=True)
        }
    data = _user_data(document)
    return {"meta-data": tree} | ({"user-data": (data, BINARY)} if data is not None else {})


def _leaves(told: Tree) -> Tree:
    return {k: _leaves(value) if isinstance(value, dict) else (value.encode(), TEXT) for k, value in told.items()}


def answer(document: Tree, path: str, vendor: Tree) -> Answer:
    """What a GET of `path` is answered: a file, or the names in a directory, one a line. `vendor`: name → document."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    if not parts:
        return _listing([*EC2, "openstack"])
    if parts[0] == "openstack":
        if len(parts) == 1:
            return _listing(list(OPENSTACK))
        if parts[1] == CONTENT:
            return _content(document, parts[2:])
        if parts[1] not in OPENSTACK:
            return Answer(404)
        return _walk(_openstack(document, vendor, parts[1]), parts[2:])
    return _walk(_ec2(document), parts[1:]) if parts[0] in EC2 else Answer(404)


def _content(document: Tree, parts: list[str]) -> Answer:
    """A file that was injected; there is no list of them but `meta_data.json`."""
    found = document.get(CONTENT, {}).get(parts[0]) if len(parts) == 1 else None
    return Answer(404) if found is None else Answer(200, base64.b64decode(found), BINARY)


def _walk(node: Any, parts: list[str]) -> Answer:
    for part in parts:
        if not isinstance(node, dict):
            return Answer(404)
        # A key's directory is listed as 0=NAME and entered as 0.
        node = next((child for name, child in node.items() if part in (name, name.partition("=")[0])), None)
        if node is None:
            return Answer(404)
    if isinstance(node, dict):
        below = [name for name, child in node.items() if isinstance(child, dict) and "=" not in name]
        return _listing([f"{name}/" if name in below else name for name in node])
    body, kind = node
    return Answer(200, body, kind)


def _listing(names: list[str]) -> Answer:
    return Answer(200, "\n".join(names).encode())


def is_password(path: str) -> bool:
    """Whether a POST of `path` tells the guest's password."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    return len(parts) == 3 and parts[0] == "openstack" and _has_password(parts[1]) and parts[2] == "password"
