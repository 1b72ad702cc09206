"""The tree that guests read on 169.254.169.254, in OpenStack's form and in EC2's.

Source: Nova user guide, "Metadata service"; the EC2 form as cloud-init reads it."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

OPENSTACK = ("2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22",
             "2018-08-27", "latest")  # fmt: skip
EC2 = ("1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
       "2009-04-04", "latest")  # fmt: skip
JSON, TEXT, BINARY = "application/json", "text/plain; charset=utf-8", "application/octet-stream"
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


def _openstack(document: Tree, vendor: Tree) -> Tree:
    files = {
        "meta_data.json": document["meta_data"],
        "network_data.json": document["network_data"],
        **vendor,
    }
    tree: Tree = {name: (json.dumps(body).encode(), JSON) for name, body in files.items()}
    tree["password"] = (document.get("password", "").encode(), TEXT)
    data = _user_data(document)
    return tree | ({"user_data": (data, BINARY)} if data is not None else {})


def _ec2(document: Tree) -> Tree:
    meta, known = document["meta_data"], document["ec2"]
    number = int(meta["uuid"].replace("-", "")[:8], 16)
    leaves = {
        "ami-id": "ami-00000000",
        "ami-launch-index": str(meta.get("launch_index", 0)),
        "hostname": meta["hostname"],
        "instance-id": f"i-{number:08x}",
        "local-hostname": meta["hostname"],
        **known,
    }
    tree: Tree = {name: (text.encode(), TEXT) for name, text in leaves.items()}
    tree["placement"] = {"availability-zone": (meta["availability_zone"].encode(), TEXT)}
    if keys := meta.get("public_keys"):
        tree["public-keys"] = {
            f"{at}={name}": {"openssh-key": (key.encode(), TEXT)} for at, (name, key) in enumerate(keys.items())
        }
    data = _user_data(document)
    return {"meta-data": tree} | ({"user-data": (data, BINARY)} if data is not None else {})


def answer(document: Tree, path: str, vendor: Tree) -> Answer:
    """What a GET of `path` is answered: a file, or the names in a directory, one a line. `vendor`: name → document."""
    parts = [part for part in path.partition("?")[0].split("/") if part]
    if not parts:
        return _listing([*EC2, "openstack"])
    if parts[0] == "openstack":
        if len(parts) == 1:
            return _listing(list(OPENSTACK))
        return _walk(_openstack(document, vendor), parts[2:]) if parts[1] in OPENSTACK else Answer(404)
    return _walk(_ec2(document), parts[1:]) if parts[0] in EC2 else Answer(404)


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
    return len(parts) == 3 and parts[0] == "openstack" and parts[1] in OPENSTACK and parts[2] == "password"
