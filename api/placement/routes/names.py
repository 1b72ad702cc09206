"""Resource classes and traits: OpenStack's standard names; none are custom, since nothing is written here."""

from typing import Any

from fastapi import APIRouter, Response

from api.placement.call import DATED, Call, answer, since
from api.placement.errors import bad_request, not_found
from api.placement.filters import CLASSES, standard_traits
from api.placement.providers import load

router = APIRouter()


def view(name: str) -> dict[str, Any]:
    return {"name": name, "links": [{"rel": "self", "href": f"/resource_classes/{name}"}]}


@router.get("/resource_classes", dependencies=[since(2)])
def list_resource_classes(call: Call) -> Response:
    """Every standard resource class; hosts have VCPU, MEMORY_MB and DISK_GB."""
    call.enforce("resource_classes:list")
    return answer(call, {"resource_classes": [view(name) for name in CLASSES]})


@router.get("/resource_classes/{name}", dependencies=[since(2)])
def show_resource_class(call: Call, name: str) -> Response:
    """One resource class."""
    call.enforce("resource_classes:show")
    if name not in CLASSES:
        raise not_found(f"No such resource class {name[:255]}.")
    return answer(call, view(name))


@router.get("/traits", dependencies=[since(6)])
def list_traits(call: Call) -> Response:
    """Every standard trait; `associated` tells those that a host has from the others."""
    call.enforce("traits:list")
    call.check_query(["name", "associated"])
    found = [name for name in standard_traits() if _named(name, call.one("name"))]
    if (associated := call.one("associated")) is not None:
        if associated.lower() not in ("true", "false"):
            raise bad_request('The query parameter "associated" only accepts "true" or "false"')
        with call.db.read() as session:
            there = {trait for provider in load(session, call.settings) for trait in provider.traits}
        found = [name for name in found if (name in there) == (associated.lower() == "true")]
    return answer(call, {"traits": found})


def _named(name: str, asked: str | None) -> bool:
    """`in:A,B` or `startswith:A`; any other word before the colon asks for nothing, as in Placement."""
    if asked is None:
        return True
    word, colon, value = asked.partition(":")
    if not colon:
        raise bad_request(
            "Badly formatted name parameter. Expected name query string parameter in form: "
            f'?name=[in|startswith]:[name1,name2|prefix]. Got: "{asked[:64]}"'
        )
    return name in value.split(",") if word == "in" else word != "startswith" or name.startswith(value)


@router.get("/traits/{name}", status_code=204, dependencies=[since(6)])
def show_trait(call: Call, name: str) -> Response:
    """204 when there is such a trait."""
    call.enforce("traits:show")
    if name not in standard_traits():
        raise not_found(f"No such trait(s): {name[:255]}.")
    dated = answer(call, {}).headers if call.since(DATED) else {}
    return Response(status_code=204, headers={key: dated[key] for key in ("last-modified", "cache-control") if dated})
