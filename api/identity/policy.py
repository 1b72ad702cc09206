"""Identity's default oslo.policy rules; targets are flat, with the dotted names that Keystone's policies use."""

ADMIN = "rule:admin_required"
STAFF = "rule:admin_or_service"
OWN_USER = "user_id:%(target.user.id)s"
OWN_PROJECT = "project_id:%(target.project.id)s"
OWN_DOMAIN = "domain_id:%(target.domain.id)s or project_domain_id:%(target.domain.id)s"
SAME_USER = "user_id:%(target.token.user_id)s"


def _guarded(*kinds: str) -> dict[str, str]:
    """Rules of resources that staff read and admins write. A kind is `singular` or `singular/plural`."""
    rules: dict[str, str] = {}
    for kind in kinds:
        one, _, many = kind.partition("/")
        rules |= {f"identity:{verb}_{one}": ADMIN for verb in ("create", "update", "delete")}
        rules |= {f"identity:get_{one}": STAFF, f"identity:list_{many or one + 's'}": STAFF}
    return rules


DEFAULTS = {
    "token_subject": SAME_USER,
    **_guarded("domain", "project", "user", "role", "service", "endpoint", "implied_role"),
    **_guarded("region", "application_credential", "grant"),
    "identity:get_domain": f"{STAFF} or {OWN_DOMAIN}",
    "identity:get_project": f"{STAFF} or {OWN_PROJECT}",
    "identity:get_user": f"{STAFF} or {OWN_USER}",
    "identity:list_user_projects": f"{STAFF} or {OWN_USER}",
    "identity:list_groups": f"{STAFF} or {OWN_USER}",
    "identity:get_region": "rule:any",
    "identity:list_regions": "rule:any",
    "identity:list_role_inference_rules": STAFF,
    "identity:list_role_assignments": f"{STAFF} or {OWN_USER}",
    "identity:check_grant": STAFF,
    "identity:revoke_grant": ADMIN,
    "identity:validate_token": f"{STAFF} or rule:token_subject",
    "identity:check_token": f"{STAFF} or rule:token_subject",
    "identity:revoke_token": f"{ADMIN} or rule:token_subject",
    "identity:get_application_credential": f"{ADMIN} or {OWN_USER}",
    "identity:list_application_credentials": f"{ADMIN} or {OWN_USER}",
    "identity:create_application_credential": OWN_USER,
    "identity:delete_application_credential": f"{ADMIN} or {OWN_USER}",
}
