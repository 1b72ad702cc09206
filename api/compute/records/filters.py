"""The query of GET /servers as a search: which filters a caller may use, and what each means."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import false, or_

from api.common import parsers
from api.compute.call import ComputeCall
from api.compute.errors import bad_request, forbidden
from api.compute.records.instances import table
from api.compute.records.search import Predicate, Search, bounded, compiled
from api.compute.validation import SECOND, boolean, timestamp, unexpected, until
from api.compute.views.states import DEFAULT, states_of
from infra.contracts.states import SOFT_DELETED

EXACT = {
    "project_id": "project_id",
    "tenant_id": "project_id",
    "user_id": "user_id",
    "image": "image_ref",
    "image_ref": "image_ref",
    "flavor": "flavor_id",
    "host": "host",
    "node": "host",
    "uuid": "id",
    "reservation_id": "reservation_id",
    "key_name": "key_name",
    "vm_state": "vm_state",
    "task_state": "task_state",
    "availability_zone": "availability_zone",
}
NUMBERS = {"launch_index": "launch_index", "power_state": "power_state", "progress": "progress"}
PATTERNS = {
    "name": "name",
    "display_name": "name",
    "hostname": "hostname",
    "description": "description",
    "display_description": "description",
    "access_ip_v4": "access_ip_v4",
    "access_ip_v6": "access_ip_v6",
}
TIMES = {"created_at": "created_at", "launched_at": "launched_at", "terminated_at": "deleted_at"}
TAGS = ("tags", "tags-any", "not-tags", "not-tags-any")
OTHERS = ("ip", "ip6", "status", "deleted", "soft_deleted", "changes-since", "changes-before", "all_tenants",
          "locked", "locked_by", "config_drive", "auto_disk_config", "kernel_id", "ramdisk_id", "root_device_name",
          "limit", "marker", "sort_key", "sort_dir")  # fmt: skip
TENANTS = {"reservation_id", "name", "status", "image", "flavor", "ip", "changes-since", "all_tenants"}
TENANTS_SINCE = {
    5: {"ip6"},
    26: set(TAGS),
    66: {"changes-before"},
    73: {"locked"},
    83: {"availability_zone", "config_drive", "key_name", "created_at", "launched_at", "terminated_at",
         "power_state", "task_state", "vm_state", "progress", "user_id"},
}  # fmt: skip
SINCE = {"changes-before": 66, "locked": 73} | dict.fromkeys(TAGS, 26)
"""Filters that a younger API passes over, whoever asks."""
REGEX = {*PATTERNS, *TIMES, *TAGS} | {
    "kernel_id", "ramdisk_id", "key_name", "power_state", "node", "flavor", "reservation_id", "availability_zone",
    "locked_by", "root_device_name", "config_drive", "auto_disk_config", "progress", "ip", "ip6"
}  # fmt: skip
"""Filters whose values have to be regular expressions, whatever they are compared with."""
JOINED = ("block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups")
SORTABLE = {
    "display_name": "name", "display_description": "description", "uuid": "id", "terminated_at": "deleted_at",
    "node": "host", "instance_type_id": "flavor_id", "locked_by": "locked", "auto_disk_config": "disk_config",
    "kernel_id": "created_at", "ramdisk_id": "created_at", "root_device_name": "created_at",
} | {name: name for name in ("access_ip_v4", "access_ip_v6", "availability_zone", "config_drive", "created_at", "host",
                             "hostname", "image_ref", "key_name", "launch_index", "launched_at", "power_state",
                             "progress", "project_id", "task_state", "updated_at", "user_id", "vm_state")}  # fmt: skip

IGNORED_SORT_KEYS = {
    "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted",
    "deleted_at", "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data", "launched_on",
    "locked", "memory_mb", "os_type", "reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus",
    "vm_mode"
}  # fmt: skip
"""What could be asked for once, and changes nothing; refused from 2.75 on."""


def search_of(call: ComputeCall, listing: str) -> Search | None:
    """The search that the query asks for; None when nothing can match. `listing` (index, detail) names the rule of
    `all_tenants`. 400 for bad values, 403 for other projects' or deleted servers unless an admin asks."""
    query = _allowed(call)
    search = Search()
    _scope(call, query, listing, search)
    if not _states(call, query, search) or not _existing(call, query, search):
        return None
    try:
        for name, text in query.items():
            _apply(search, name, text)
    except parsers.Malformed:
        return None
    _addresses(query, search)
    _tags(query, search)
    _order(call, search)
    return search


def _allowed(call: ComputeCall) -> dict[str, str]:
    """The query without filters that the caller may not use: those are ignored, as in Nova."""
    known = {*EXACT, *NUMBERS, *PATTERNS, *TIMES, *TAGS, *OTHERS}
    everything = call.allows("os_compute_api:servers:allow_all_filters")
    for name in call.request.query_params:
        if name in JOINED or name.startswith("_"):
            if everything:
                raise bad_request(f"Invalid filter field: {name[:64]}.")
        elif call.since(75) and name not in known:
            raise unexpected(name)
        if name in REGEX and call.since(SINCE.get(name, 1)):
            _require_regex(name, call.request.query_params.getlist(name))
    may = known
    if not everything:
        may = TENANTS.union(*(names for minor, names in TENANTS_SINCE.items() if call.since(minor)))
    return {name: text for name, text in call.query.items() if name in may and call.since(SINCE.get(name, 1))}


def _require_regex(name: str, texts: list[str]) -> None:
    if not all(text and compiled(text) for text in texts):
        raise bad_request(f"Invalid input for query parameters {name}. It is not a 'regex'")


def _scope(call: ComputeCall, query: dict[str, str], listing: str, search: Search) -> None:
    everywhere = "all_tenants" in query and boolean(query["all_tenants"] or "1")
    if everywhere:
        call.enforce(f"os_compute_api:servers:{listing}:get_all_tenants")
        return
    query.pop("tenant_id", None)
    query["project_id"] = call.context.project_id


def _states(call: ComputeCall, query: dict[str, str], search: Search) -> bool:
    if "status" not in query:
        return True
    vm_states, task_states = states_of(call.request.query_params.getlist("status"))
    if not vm_states:
        if call.since(38):
            raise bad_request("Invalid status value")
        return False
    if vm_states == {"deleted"}:
        if not call.context.is_admin:
            raise forbidden("Only administrators may list deleted instances")
        query["deleted"] = "true"
    search.clauses.append(table.c.vm_state.in_(vm_states))
    if DEFAULT not in task_states:
        search.clauses.append(table.c.task_state.in_(task_states))
    return True


def _existing(call: ComputeCall, query: dict[str, str], search: Search) -> bool:
    since, before = query.get("changes-since"), query.get("changes-before")
    if since is not None:
        search.clauses.append(table.c.updated_at >= timestamp(since, "changes-since"))
    if before is not None:
        search.clauses.append(table.c.updated_at < until(timestamp(before, "changes-before")))
        if since is not None and timestamp(before, "changes-before") < timestamp(since, "changes-since"):
            raise bad_request("The value of changes-since must be less than or equal to changes-before.")
    asked = query.get("deleted")
    if asked is not None and asked.strip().lower() in parsers.TRUE:
        soft = table.c.vm_state == SOFT_DELETED if _soft(query, default=True) else false()
        search.clauses.append(or_(table.c.deleted_at.is_not(None), soft))
    elif asked is not None or (since is None and before is None):
        search.clauses.append(table.c.deleted_at.is_(None))
        if not _soft(query, default=False):
            search.clauses.append(table.c.vm_state != SOFT_DELETED)
    return True


def _soft(query: dict[str, str], *, default: bool) -> bool:
    """Whether servers that can be restored are listed: with the deleted ones, not with the others, unless asked for."""
    return query["soft_deleted"].strip().lower() in parsers.TRUE if "soft_deleted" in query else default


def _apply(search: Search, name: str, text: str) -> None:
    """Malformed for a value that no server can have."""
    if name in EXACT:
        search.clauses.append(table.c[EXACT[name]] == text)
    elif name in NUMBERS:
        search.clauses.append(table.c[NUMBERS[name]] == parsers.whole(text))
    elif name in PATTERNS:
        search.matching(PATTERNS[name], text)
    elif name in TIMES:
        after = until(parsers.moment(text))
        search.clauses += [table.c[TIMES[name]] >= after - SECOND, table.c[TIMES[name]] < after]
    elif name == "auto_disk_config":
        search.clauses.append(table.c.disk_config == ("AUTO" if parsers.boolean(text) else "MANUAL"))
    elif name == "config_drive":
        search.clauses.append(table.c.config_drive.is_(parsers.boolean(text)))
    elif name == "locked":
        search.clauses.append(table.c.locked.is_(boolean(text)))


def _addresses(query: dict[str, str], search: Search) -> None:
    for name, version in (("ip", 4), ("ip6", 6)):
        if name in query:
            search.by(_has_address(query[name], version), "networks")


def _has_address(pattern: str, version: int) -> Predicate:
    """Whether a row has an address of `version` that begins with a match of the regular expression `pattern`, even
    where that looks like a whole address: `192.0.2.1` finds 192.0.2.10, too, as in Nova."""
    matches = bounded(pattern).match
    return lambda row: any(matches(ip) for ip in _ips(row["networks"]) if (":" in ip) == (version == 6))


def _ips(networks: list[dict[str, Any]] | None) -> list[str]:
    return [
        ip["ip_address"] if isinstance(ip, dict) else ip
        for port in networks or ()
        for ip in port.get("fixed_ips") or ()
    ]


TAG_TESTS: dict[str, Callable[[set[str], set[str]], bool]] = {
    "tags": lambda wanted, has: wanted <= has,
    "tags-any": lambda wanted, has: bool(wanted & has),
    "not-tags": lambda wanted, has: not wanted <= has,
    "not-tags-any": lambda wanted, has: not wanted & has,
}


def _tags(query: dict[str, str], search: Search) -> None:
    for name, test in TAG_TESTS.items():
        if name in query:
            search.by(_has_tags(test, set(query[name].split(","))), "tags")


def _has_tags(test: Callable[[set[str], set[str]], bool], wanted: set[str]) -> Predicate:
    return lambda row: test(wanted, set(row["tags"] or ()))


def _order(call: ComputeCall, search: Search) -> None:
    keys = call.request.query_params.getlist("sort_key")
    directions = call.request.query_params.getlist("sort_dir")
    chosen: list[tuple[str, bool]] = []
    for n, key in enumerate(keys):
        if key not in SORTABLE and not (key == "locked" and call.since(73)):
            if key not in IGNORED_SORT_KEYS or call.since(75):
                raise bad_request(f"Invalid input for query parameters sort_key. '{key[:64]}' is not one of the keys")
            continue
        if key in ("host", "node") and not call.context.is_admin:
            raise forbidden(f"Only administrators can sort servers by {key}")
        chosen.append((SORTABLE.get(key, key), _descending(directions, n)))
    search.order = chosen or [("created_at", _descending(directions, 0))]


def _descending(directions: list[str], n: int) -> bool:
    """The n-th direction; the last one given counts for the keys that follow, `desc` without any."""
    text = (directions[min(n, len(directions) - 1)] if directions else "desc").strip().lower()
    if text not in ("asc", "desc"):
        raise bad_request("Invalid input received: Unknown sort direction, must be 'desc' or 'asc'")
    return text == "desc"
