"""Security groups by way of the compute API, as clients asked for them before 2.36."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, BeforeValidator, Field

from api.common import parsers
from api.common.errors import ServiceError
from api.compute.call import Body, Call, ComputeCall, versions
from api.compute.errors import bad_request, forbidden, not_found
from api.compute.neighbours import neighbours
from api.compute.paging import MAX_LIMIT, Page
from api.compute.routes.network_proxy import ask
from api.compute.validation import Uuid, boolean, check, whole
from api.compute.views.security_groups import by_id, groups_view, rule_view
from infra.openstack import NETWORK

router = APIRouter()
PROXY = [versions(1, 35)]
RULE = "os_compute_api:os-security-groups:"
Json = dict[str, Any]


def _port(value: Any) -> Any:
    """Clients send numbers as texts, too; -1 stands for none."""
    try:
        number = parsers.whole(value, least=-1) if isinstance(value, str) else value
    except parsers.Malformed as error:
        raise ValueError("To and From ports must be integers") from error
    return None if number == -1 and not isinstance(number, bool) else number


Port = Annotated[Annotated[int, Field(ge=0, le=65535, strict=True)] | None, BeforeValidator(_port)]
Text = Annotated[str, Field(max_length=255)]


class Group(BaseModel):
    """Nova's schema passes over what it does not know here."""

    name: Text
    description: Text


class GroupBody(BaseModel):
    security_group: Group


class Rule(BaseModel):
    parent_group_id: Uuid
    group_id: Uuid | None = None
    ip_protocol: Text | None = None
    from_port: Port = None
    to_port: Port = None
    cidr: Text | None = None


class RuleBody(BaseModel):
    security_group_rule: Rule


@router.get("/os-security-groups", dependencies=PROXY)
def list_groups(call: Call) -> Response:
    """The project's security groups; an admin's `all_tenants` lists everybody's."""
    call.enforce(RULE + "get")
    query = call.query
    everyone = boolean(query.get("all_tenants", "0")) and call.context.is_admin
    which = "" if everyone else f"?project_id={call.context.project_id}"
    shown = groups_view(call, ask(call, f"/v2.0/security-groups{which}", "security_groups"))
    begin, most = whole(query.get("offset", "0"), "offset"), Page.of(call).limit or MAX_LIMIT
    found = sorted(shown[begin : begin + most], key=lambda group: (group["tenant_id"], group["name"]))
    return JSONResponse({"security_groups": found})


@router.get("/os-security-groups/{group_id}", dependencies=PROXY)
def show_group(call: Call, group_id: str) -> Response:
    """One security group by its id."""
    call.enforce(RULE + "show")
    return _shown(call, _find(call, group_id))


@router.post("/os-security-groups", dependencies=PROXY)
def create_group(call: Call, body: Body) -> Response:
    """Make a security group, as the network service does."""
    call.enforce(RULE + "create")
    wish = check(GroupBody, body, "").security_group.model_dump()
    made = _send(call, "POST", "/v2.0/security-groups", {"security_group": wish})
    return _shown(call, made["security_group"])


@router.put("/os-security-groups/{group_id}", dependencies=PROXY)
def update_group(call: Call, group_id: str, body: Body) -> Response:
    """Change name and description."""
    call.enforce(RULE + "update")
    wish = check(GroupBody, body, "").security_group.model_dump()
    found = _find(call, group_id)
    made = _send(call, "PUT", f"/v2.0/security-groups/{found['id']}", {"security_group": wish})
    return _shown(call, made["security_group"])


@router.delete("/os-security-groups/{group_id}", status_code=202, dependencies=PROXY)
def delete_group(call: Call, group_id: str) -> Response:
    """Remove a security group that no port has."""
    call.enforce(RULE + "delete")
    _send(call, "DELETE", f"/v2.0/security-groups/{_find(call, group_id)['id']}")
    return Response(status_code=202)


@router.post("/os-security-group-rules", dependencies=PROXY)
def create_rule(call: Call, body: Body) -> Response:
    """Let a prefix or a group in; rules of this API are all for what comes in."""
    call.enforce(RULE + "rule:create")
    wish = check(RuleBody, body, "").security_group_rule
    _find(call, wish.parent_group_id)
    remote = {group["id"]: group for group in by_id(call, {wish.group_id})} if wish.group_id else {}
    if wish.group_id and not remote:
        raise not_found(f"Security group {wish.group_id} not found.")
    made = _send(call, "POST", "/v2.0/security-group-rules", {"security_group_rule": _neutrons(wish)})
    return JSONResponse({"security_group_rule": rule_view(made["security_group_rule"], remote)})


@router.delete("/os-security-group-rules/{rule_id}", status_code=202, dependencies=PROXY)
def delete_rule(call: Call, rule_id: str) -> Response:
    """Take a rule away."""
    call.enforce(RULE + "rule:delete")
    _require_id(rule_id)
    _send(call, "DELETE", f"/v2.0/security-group-rules/{rule_id}", gone=f"Rule ({rule_id}) not found")
    return Response(status_code=202)


def _neutrons(wish: Rule) -> Json:
    """The rule in the network service's terms; 400 for a prefix without a protocol and ports."""
    rule: Json = {"security_group_id": wish.parent_group_id, "direction": "ingress"}
    if not wish.group_id and (wish.ip_protocol is None or (wish.from_port is None) != (wish.to_port is None)):
        raise bad_request("Not enough parameters to build a valid rule.")
    if wish.group_id:
        rule["remote_group_id"] = wish.group_id
    else:
        rule["remote_ip_prefix"] = wish.cidr or "0.0.0.0/0"
        rule["ethertype"] = "IPv6" if ":" in rule["remote_ip_prefix"] else "IPv4"
    named = {"protocol": wish.ip_protocol, "port_range_min": wish.from_port, "port_range_max": wish.to_port}
    return rule | {name: value for name, value in named.items() if value is not None}


def _shown(call: ComputeCall, group: Json) -> Response:
    return JSONResponse({"security_group": groups_view(call, [group])[0]})


def _require_id(text: str) -> None:
    if not parsers.is_uuid(text):
        raise bad_request(f"Security group id should be uuid: {text[:64]}")


def _find(call: ComputeCall, group_id: str) -> Json:
    _require_id(group_id)
    body = neighbours(call).get(call, NETWORK, f"/v2.0/security-groups/{group_id}")
    if body is None:
        raise not_found(f"Security group {group_id} not found.")
    return dict(body["security_group"])


def _send(call: ComputeCall, method: str, path: str, body: Json | None = None, gone: str = "") -> Json:
    """400 and 403 in Nova's way: over a quota it is 403, what conflicts 400."""
    try:
        made = neighbours(call).send(call, method, NETWORK, path, **({"json": body} if body else {}))
    except ServiceError as error:
        if error.title == "OverQuota":
            raise forbidden(error.message) from None
        raise bad_request(error.message) if error.status == 409 else error from None
    if made is None:
        raise not_found(gone or "Security group not found.")
    return made
