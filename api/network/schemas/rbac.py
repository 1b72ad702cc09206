"""Bodies of RBAC policies."""

from pydantic import Field, model_validator

from api.network.schemas.fields import Attributes, Owned, Uuid

Target = Field(default=None, min_length=1, max_length=64)


class RbacPolicyCreate(Owned):
    """Source: Networking API v2.0, POST /v2.0/rbac-policies. The target project has an old and a new name."""

    object_type: str
    object_id: Uuid
    action: str
    target_tenant: str | None = Target
    target_project: str | None = Target

    @property
    def target(self) -> str:
        return str(self.target_project or self.target_tenant)

    @model_validator(mode="after")
    def _has_target(self) -> "RbacPolicyCreate":
        if not (self.target_project or self.target_tenant):
            raise ValueError("Failed to parse request. Required attribute 'target_tenant' not specified")
        return self


class RbacPolicyUpdate(Attributes):
    target_tenant: str | None = Target
    target_project: str | None = Target
