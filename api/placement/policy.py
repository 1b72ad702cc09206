"""Default rules of the Placement API, named as Placement names them.

Where Placement admits every service user, a compute host is not one: no host learns what the others hold."""

OPERATOR = "rule:admin_or_service_user"
OWNER = f"{OPERATOR} or (role:reader and rule:owner)"
PREFIX = "placement:"
PROVIDERS = "resource_providers:"

RULES: dict[str, str] = {
    **{
        PREFIX + name: OPERATOR
        for name in (
            *(PROVIDERS + verb for verb in ("list", "show", "create", "update", "delete", "usages")),
            *(f"{PROVIDERS}inventories:{verb}" for verb in ("list", "show", "create", "update", "delete")),
            *(f"{PROVIDERS}aggregates:{verb}" for verb in ("list", "update")),
            *(f"{PROVIDERS}traits:{verb}" for verb in ("list", "update", "delete")),
            f"{PROVIDERS}allocations:list",
            *(f"resource_classes:{verb}" for verb in ("list", "show", "create", "update", "delete")),
            *(f"traits:{verb}" for verb in ("list", "show", "update", "delete")),
            *(f"allocations:{verb}" for verb in ("list", "manage", "update", "delete")),
            "allocation_candidates:list",
            "reshaper:reshape",
        )
    },
    PREFIX + "usages": OWNER,
}
