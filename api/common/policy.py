"""Who may do what: oslo.policy rules per service, overridable by a policy file in OpenStack's own format."""

from pathlib import Path
from typing import Any

from oslo_config import cfg
from oslo_policy import policy

from api.common.context import Context
from api.common.errors import ServiceError

COMMON = {
    "admin_required": "role:admin",
    "service_role": "role:service",
    "admin_or_service": "rule:admin_required or rule:service_role",
    "admin_or_service_user": "rule:admin_required or (rule:service_role and not role:kilonova-host)",
    "owner": "project_id:%(project_id)s",
    "control_plane": "rule:service_role and user_name:nova",
    "this_host": "role:kilonova-host and user_name:host-%(host)s",
    "admin_or_owner": "rule:admin_required or rule:owner",
    "admin_service_or_owner": "rule:admin_or_service or rule:owner",
    "any": "@",
    "never": "!",
}


MOST_KNOWN = 4096


class Policy:
    """Rules of one service: `defaults` in code, overridden by STATE/policy/<service>.yaml when that file exists.

    The rules in code never change, and look at nothing but the caller and the target: what they said is remembered. A
    file may change at any time, and may ask other services."""

    def __init__(self, service: str, defaults: dict[str, str], state_dir: Path) -> None:
        conf = cfg.ConfigOpts()
        file = state_dir / "policy" / f"{service}.yaml"
        conf([], default_config_files=[])
        self._enforcer = policy.Enforcer(conf, policy_file=str(file))
        conf.set_override("policy_dirs", [], group="oslo_policy")
        for name, rule in {**COMMON, **defaults}.items():
            self._enforcer.register_default(policy.RuleDefault(name, rule))
        self._enforcer.suppress_default_change_warnings = True
        self._enforcer.load_rules()
        self._enforcer.use_conf = file.exists()  # defaults are merged only while it is on; then it costs per check
        self._said: dict[tuple[object, ...], bool] = {}

    def allows(self, context: Context, rule: str, target: dict[str, Any] | None = None) -> bool:
        if target is None:
            target = {"project_id": context.project_id, "user_id": context.user_id}
        asks = context.credentials()
        if self._enforcer.use_conf:
            return bool(self._enforcer.enforce(rule, target, asks))
        known = (rule, tuple(target.items()), *(tuple(v) if isinstance(v, list) else v for v in asks.values()))
        said = self._said.get(known)
        if said is None:
            said = bool(self._enforcer.enforce(rule, target, asks))
            if len(self._said) >= MOST_KNOWN:
                self._said.clear()
            self._said[known] = said
        return said

    def enforce(self, context: Context, rule: str, target: dict[str, Any] | None = None) -> None:
        """403 in the words of OpenStack's services unless `rule` allows the caller on `target`."""
        if not self.allows(context, rule, target):
            raise ServiceError(403, f"Policy doesn't allow {rule} to be performed.", title="forbidden")
