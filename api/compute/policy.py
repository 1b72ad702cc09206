"""Default rules of the compute API, named as Nova names them, so that an operator's policy file carries over."""

from workflows.actions import ACTIONS

READER = "rule:admin_required or (role:reader and rule:owner) or (role:member and rule:owner)"
MEMBER = "rule:admin_required or (role:member and rule:owner)"
ADMIN = "rule:admin_required"
SELF = "rule:admin_required or user_id:%(user_id)s"
ANY = "rule:any"

PREFIX = "os_compute_api:"


def _all(rule: str, *names: str) -> dict[str, str]:
    return {PREFIX + name: rule for name in names}


RULES: dict[str, str] = {
    **_all(
        READER,
        *(f"servers:{name}" for name in ("index", "detail", "show", "show:flavor-extra-specs")),
        *(f"server-metadata:{name}" for name in ("index", "show")),
        *(f"os-server-tags:{name}" for name in ("index", "show")),
        *(f"ips:{name}" for name in ("index", "show")),
        *(f"os-attach-interfaces:{name}" for name in ("list", "show")),
        *(f"os-volumes-attachments:{name}" for name in ("index", "show")),
        *(f"os-instance-actions:{name}" for name in ("list", "show")),
        *(f"os-server-shares:{name}" for name in ("index", "show")),
        *(f"os-security-groups:{name}" for name in ("list", "get", "show")),
        *(f"os-networks:{name}" for name in ("list", "show")),
        *(f"os-tenant-networks:{name}" for name in ("list", "show")),
        *(f"os-floating-ips:{name}" for name in ("list", "show")),
        "os-server-password:show",
        "os-quota-sets:show",
        "os-quota-sets:detail",
        "os-simple-tenant-usage:show",
        "os-server-groups:index",
        "os-server-groups:show",
    ),
    **_all(
        MEMBER,
        *(
            f"servers:{name}"
            for name in ("create", "create:attach_volume", "create:attach_network", "delete", "update")
        ),
        *(row.rule for row in ACTIONS.values() if not row.admin),
        *(f"server-metadata:{name}" for name in ("create", "update", "update_all", "delete")),
        *(f"os-server-tags:{name}" for name in ("update", "update_all", "delete", "delete_all")),
        *(f"os-server-shares:{name}" for name in ("create", "delete")),
        "os-server-groups:create",
        "os-server-groups:delete",
        "servers:create_image:allow_volume_backed",
        "os-console-output",
        "os-server-password:clear",
        "os-remote-consoles",
        *(f"os-security-groups:{name}" for name in ("create", "update", "delete", "rule:create", "rule:delete")),
        *(f"os-floating-ips:{name}" for name in ("create", "delete", "add", "remove")),
        *(f"os-multinic:{name}" for name in ("add", "remove")),
        "os-lock-server:lock",
        "os-lock-server:unlock",
        "os-deferred-delete:force",
        "kilonova:retry",
        "kilonova:resume",
        "kilonova:abort",
    ),
    **_all(
        ADMIN,
        *(row.rule for row in ACTIONS.values() if row.admin),
        *(f"servers:{name}" for name in ("index:get_all_tenants", "detail:get_all_tenants", "allow_all_filters")),
        *(f"servers:{name}" for name in ("show:host_status", "create:forced_host", "create:zero_disk_flavor")),
        "os-extended-server-attributes",
        "os-instance-actions:events",
        "os-instance-actions:events:details",
        "os-lock-server:unlock:unlock_override",
        *(f"os-admin-actions:{name}" for name in ("reset_state", "inject_network_info")),
        "os-shelve:unshelve_to_host",
        *(f"os-flavor-manage:{name}" for name in ("create", "update", "delete")),
        *(f"os-flavor-extra-specs:{name}" for name in ("create", "update", "delete")),
        *(f"os-flavor-access{name}" for name in ("", ":add_tenant_access", ":remove_tenant_access")),
        *(f"os-services:{name}" for name in ("list", "update", "delete")),
        *(
            f"os-hypervisors:{name}"
            for name in ("list", "list-detail", "show", "statistics", "search", "servers", "uptime")
        ),
        *(f"os-hosts:{name}" for name in ("list", "show", "update")),
        *(f"os-quota-sets:{name}" for name in ("update", "delete")),
        *(f"os-quota-class-sets:{name}" for name in ("show", "update")),
        "os-availability-zone:detail",
        "os-simple-tenant-usage:list",
        "os-migrations:index",
        "os-server-diagnostics",
        "os-console-auth-tokens",
        "servers:migrations:index",
        "servers:migrations:show",
        "os-server-groups:index:all_projects",
        *(
            f"os-aggregates:{name}"
            for name in ("index", "show", "create", "update", "delete", "add_host", "remove_host", "set_metadata")
        ),
        "limits:other_project",
    ),
    **_all(SELF, *(f"os-keypairs:{name}" for name in ("index", "show", "create", "delete"))),
    **_all(
        ANY,
        "flavors",
        "os-flavor-extra-specs:index",
        "os-flavor-extra-specs:show",
        "limits",
        "extensions",
        "os-floating-ip-pools",
        "os-availability-zone:list",
        "os-quota-sets:defaults",
    ),
    "compute:servers:create:requested_destination": ADMIN,
    "compute:server:topology:index": READER,
    "compute:aggregates:images": ADMIN,
    "network:attach_external_network": ADMIN,
    PREFIX + "os-server-external-events:create": "rule:admin_or_service_user",
    PREFIX + "os-volumes-attachments:swap": "rule:admin_or_service_user",
    "kilonova:host": "rule:admin_required or rule:this_host",
    "kilonova:console": "rule:admin_required or rule:control_plane",
}
