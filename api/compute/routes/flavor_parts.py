"""Extra specs of a flavor, and which projects may use a private one (Compute API reference, "Flavors …")."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from sqlmodel import Session

from api.compute import limits
from api.compute.call import Body, Call, ComputeCall
from api.compute.errors import bad_request, conflict, forbidden, not_found
from api.compute.extra_specs import require_valid
from api.compute.records import flavors
from api.compute.routes.quotas import require_project
from api.compute.schemas.flavors import ExtraSpec, ExtraSpecs, TenantAccess
from api.compute.validation import check, check_query, parse

router = APIRouter()
SPECS = "os_compute_api:os-flavor-extra-specs:"
ACCESS = "os_compute_api:os-flavor-access"


@router.get("/flavors/{flavor_id}/os-extra_specs")
def list_extra_specs(call: Call, flavor_id: str) -> Response:
    """All extra specs of a flavor."""
    check_query(call, since=102)
    call.enforce(SPECS + "index")
    with call.db.read() as session:
        return JSONResponse({"extra_specs": flavors.find(session, call, flavor_id).extra_specs})


@router.post("/flavors/{flavor_id}/os-extra_specs")
def create_extra_specs(call: Call, flavor_id: str, body: Body) -> Response:
    """Add extra specs; existing keys get the new value."""
    call.enforce(SPECS + "create")
    wish = check(ExtraSpecs, body, "").extra_specs
    _change(call, flavor_id, wish)
    return JSONResponse({"extra_specs": wish})


@router.get("/flavors/{flavor_id}/os-extra_specs/{key}")
def show_extra_spec(call: Call, flavor_id: str, key: str) -> Response:
    """One extra spec."""
    check_query(call, since=102)
    call.enforce(SPECS + "show")
    with call.db.read() as session:
        known = flavors.find(session, call, flavor_id).extra_specs
    if key not in known:
        raise _no_key(flavor_id, key)
    return JSONResponse({key: known[key]})


@router.put("/flavors/{flavor_id}/os-extra_specs/{key}")
def update_extra_spec(call: Call, flavor_id: str, key: str, body: Body) -> Response:
    """Set one extra spec."""
    call.enforce(SPECS + "update")
    wish = check(ExtraSpec, {"spec": body}, "").spec
    if key not in wish:
        raise bad_request("Request body and URI mismatch")
    _change(call, flavor_id, wish)
    return JSONResponse(wish)


@router.delete("/flavors/{flavor_id}/os-extra_specs/{key}")
def delete_extra_spec(call: Call, flavor_id: str, key: str) -> Response:
    """Remove one extra spec."""
    call.enforce(SPECS + "delete")
    with call.db.write() as session:
        known = flavors.find(session, call, flavor_id).extra_specs
        if key not in known:
            raise _no_key(flavor_id, key)
        kept = {name: value for name, value in known.items() if name != key}
        flavors.change(session, flavor_id, extra_specs=kept)
    return Response(status_code=200)


def _change(call: ComputeCall, flavor_id: str, wish: dict[str, str]) -> None:
    if call.since(86):
        require_valid(wish)
    with call.db.write() as session:
        specs = {**flavors.find(session, call, flavor_id).extra_specs, **wish}
        if len(specs) > limits.EXTRA_SPECS:
            raise forbidden(limits.EXTRA_SPECS_WORDS)
        flavors.change(session, flavor_id, extra_specs=specs)


def _no_key(flavor_id: str, key: str) -> Exception:
    return not_found(f"Flavor {flavor_id} has no extra specs with key {key[:255]}.")


@router.get("/flavors/{flavor_id}/os-flavor-access")
def list_access(call: Call, flavor_id: str) -> Response:
    """Projects that may use a private flavor."""
    check_query(call, since=102)
    call.enforce(ACCESS)
    with call.db.read() as session:
        if flavors.find(session, call, flavor_id).is_public:
            raise not_found("Access list not available for public flavors.")
        return _access(session, flavor_id)


@router.post("/flavors/{flavor_id}/action")
def change_access(call: Call, flavor_id: str, body: Body) -> Response:
    """Give a project access to a private flavor, or take it (addTenantAccess, removeTenantAccess)."""
    if len(body) != 1:
        raise bad_request("Malformed request body")
    name = next(iter(body))
    if name not in ("addTenantAccess", "removeTenantAccess"):
        raise bad_request(f"There is no such action: {name[:64]}")
    adding = name == "addTenantAccess"
    call.enforce(f"{ACCESS}:{'add' if adding else 'remove'}_tenant_access")
    project_id = parse(call, TenantAccess, body, name).tenant
    require_project(call, project_id)
    with call.db.write() as session:
        flavor = flavors.find(session, call, flavor_id)
        if adding and flavor.is_public and call.since(7):
            raise conflict("Can not add access to a public flavor.")
        (flavors.grant if adding else flavors.revoke)(session, flavor_id, project_id)
        session.flush()
        return _access(session, flavor_id)


def _access(session: Session, flavor_id: str) -> Response:
    granted = flavors.projects(session, flavor_id)
    return JSONResponse(
        {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": project_id} for project_id in granted]}
    )
