"""First contents of a cloud's Keystone, made inside its own process by its own managers.

Reads STATE/keystone/bootstrap.json (mode 0600), which `infra.bootstrap` writes at each `kilonova up`."""

import hashlib
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from keystone.common import driver_hints, provider_api
from keystone.exception import Conflict, UserNotFound
from oslo_log import log as logging

log = logging.getLogger(__name__)
PROVIDERS = provider_api.ProviderAPIs
DOMAIN = "default"
ROLES = ("admin", "manager", "member", "reader", "service", "kilonova-host")
IMPLIED = (("admin", "manager"), ("manager", "member"), ("member", "reader"), ("kilonova-host", "service"))


def ensure(wanted: dict[str, Any], applied: Path) -> None:
    """Make what is missing; bring endpoints of ours in line. Safe to run again at every start.

    `wanted`: {"region": id, "users": [...], "catalog": [...]}, as `infra.bootstrap` writes it. `applied` is a file
    that remembers two things: for which content of `wanted` passwords were looked at, since that costs a hash for each
    user, and which endpoints were written, since one that an operator has changed or taken away is his."""
    mark = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    before = _applied(applied)
    changed = before["mark"] != mark
    domain = {"id": DOMAIN, "name": "Default", "description": "The default domain", "enabled": True}
    _unless_there(lambda: PROVIDERS.resource_api.create_domain(domain_id=DOMAIN, domain=domain))
    roles = {name: _role(name) for name in ROLES}
    for prior, implied in IMPLIED:
        _unless_there(lambda p=roles[prior], i=roles[implied]: PROVIDERS.role_api.create_implied_role(p, i))
    for user in wanted["users"]:
        _user(user, roles, check_password=changed)
    region = wanted["region"]
    new = _unless_there(lambda: PROVIDERS.catalog_api.create_region(region_ref={"id": region}))
    ours = {} if new else before["catalog"]
    for service in wanted["catalog"]:
        _service(service, region, ours.get(service["type"]))
    written = {service["type"]: service["url"] for service in wanted["catalog"]}
    applied.write_text(json.dumps({"mark": mark, "catalog": ours | written}))


def _applied(file: Path) -> dict[str, Any]:
    """{"mark", "catalog": service type -> URL}; of an earlier version's file only the mark is known."""
    text = file.read_text() if file.exists() else ""
    if not text.startswith("{"):
        return {"mark": text, "catalog": {}}
    found: dict[str, Any] = json.loads(text)
    return found


def _unless_there(create: Callable[..., object]) -> bool:
    """Whether it was made now."""
    try:
        create()
    except Conflict:
        return False
    return True


def _role(name: str) -> str:
    known = PROVIDERS.role_api.list_roles(_only(name=name))
    if known:
        return str(known[0]["id"])
    id = uuid.uuid4().hex
    PROVIDERS.role_api.create_role(id, {"id": id, "name": name})
    return id


def _find_user(name: str) -> dict[str, Any]:
    found: dict[str, Any] = PROVIDERS.identity_api.get_user_by_name(name, DOMAIN)
    return found


def _project(name: str) -> str:
    id = uuid.uuid4().hex
    wanted = {"id": id, "name": name, "domain_id": DOMAIN, "enabled": True}
    try:
        PROVIDERS.resource_api.create_project(id, wanted)
        return id
    except Conflict:
        return str(PROVIDERS.resource_api.get_project_by_name(name, DOMAIN)["id"])


def _user(wanted: dict[str, Any], roles: dict[str, str], *, check_password: bool) -> None:
    name, password = wanted["name"], wanted["password"]
    try:
        user = _find_user(name)
        if check_password and not _matches(user["id"], password):
            if wanted["reset_password"]:
                PROVIDERS.identity_api.update_user(user["id"], {"password": password})
            else:
                log.warning("password of %s differs from credentials.json; the openrc file will not work", name)
    except UserNotFound:
        new = {"name": name, "password": password, "domain_id": DOMAIN, "enabled": True}
        if not wanted["may_be_locked"]:
            new["options"] = {"ignore_lockout_failure_attempts": True}
        user = PROVIDERS.identity_api.create_user(new)
    assignments, role_id, project_id = PROVIDERS.assignment_api, roles[wanted["role"]], _project(wanted["project"])
    _unless_there(lambda: assignments.add_role_to_user_and_project(user["id"], project_id, role_id))
    if wanted["role"] == "admin":
        _unless_there(lambda: assignments.create_system_grant_for_user(user["id"], role_id))


def _matches(user_id: str, password: str) -> bool:
    try:
        PROVIDERS.identity_api.driver.authenticate(user_id, password)
    except AssertionError:
        return False
    return True


def _only(**filters: str) -> driver_hints.Hints:
    hints = driver_hints.Hints()
    for name, value in filters.items():
        hints.add_filter(name, value)
    return hints


def _service(wanted: dict[str, str], region: str, ours: str | None) -> None:
    """The service of a type with its three endpoints. `ours` is the address that an earlier start wrote: an endpoint
    that still has it follows `wanted`, any other is an operator's, and what was there once is not made again."""
    catalog = PROVIDERS.catalog_api
    services = catalog.list_services(_only(type=wanted["type"]))
    if not services and ours:
        return
    if services:
        service_id = services[0]["id"]
    else:
        service_id = uuid.uuid4().hex
        service = {"id": service_id, "type": wanted["type"], "name": wanted["name"], "enabled": True}
        catalog.create_service(service_id, service)
    known = {e["interface"]: e for e in catalog.list_endpoints(_only(service_id=service_id, region_id=region))}
    for interface in ("public", "internal", "admin"):
        there = known.get(interface)
        if there is None and ours is None:
            id = uuid.uuid4().hex
            made = {"id": id, "interface": interface, "url": wanted["url"], "service_id": service_id, "enabled": True}
            catalog.create_endpoint(endpoint_id=id, endpoint_ref={**made, "region_id": region})
        elif there is not None and there["url"] == ours != wanted["url"]:
            catalog.update_endpoint(endpoint_id=there["id"], endpoint_ref={**there, "url": wanted["url"]})
