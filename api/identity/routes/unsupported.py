"""Parts of the Identity API that are not built: groups (there are none), and whole families that answer 501."""

from typing import Any

from fastapi import APIRouter

from api.identity.access import Here
from api.identity.errors import NotBuilt, NotFound

router = APIRouter(prefix="/v3")
FAMILIES = {
    "/groups": "Groups",
    "/credentials": "Credentials",
    "/policies": "Policies",
    "/limits": "Limits",
    "/registered_limits": "Registered limits",
    "/ec2tokens": "EC2 tokens",
    "/s3tokens": "S3 tokens",
    "/system": "System scope",
    "/OS-{extension}": "This extension",
    "/auth/OS-{extension}": "Federated sign-in",
    "/domains/{id}/groups": "Groups",
    "/domains/{id}/config": "Configuration of a domain",
    "/projects/{id}/groups": "Groups",
    "/projects/{id}/tags": "Tags",
    "/users/{id}/access_rules": "Access rules",
    "/users/{id}/credentials": "Credentials",
}
EVERY = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]


@router.get("/groups")
def list_groups(here: Here) -> dict[str, Any]:
    here.allow("list_groups", user_id="")
    return here.collection("groups", [])


@router.get("/groups/{group_id}")
def get_group(here: Here, group_id: str) -> None:
    here.allow("list_groups", user_id="")
    raise NotFound("group", group_id[:255])


def _refuse(path: str, what: str) -> None:
    def not_built(here: Here) -> None:
        raise NotBuilt(what)

    for pattern in (path, path + "/{rest:path}"):
        router.add_api_route(pattern, not_built, methods=EVERY)


for _path, _what in FAMILIES.items():
    _refuse(_path, _what)
