"""Volume types: which a caller may use, which a new volume gets, and how they are shown."""

import uuid
from typing import Any

from sqlmodel import Session, col, or_, select

from api.common.context import Context
from api.common.errors import ServiceError
from api.common.policy import Policy
from api.volume.errors import invalid_input
from infra.tables.volume import DefaultType, TypeAccess, VolumeType

FIRST_NAME = "nbd"
FIRST_ID = "6f1f7d5c-7a0e-5a4b-9d0f-6e6264000001"
"""The type that the service begins with. It is every project's default until an administrator sets another."""
TENANT_VISIBLE = ("multiattach", "RESKEY:availability_zones", "replication_enabled")
UNDERSTOOD = ("multiattach", "volume_backend_name")
"""Extra specs that this service acts on; any other would promise what nobody does."""


def is_multiattach(row: VolumeType) -> bool:
    return row.extra_specs.get("multiattach") == "<is> True"


def check_specs(specs: dict[str, str]) -> dict[str, str]:
    """The extra specs; 400 for one that this service would not obey."""
    for key, value in specs.items():
        if key not in UNDERSTOOD:
            raise invalid_input(f"extra spec '{key[:255]}' is not supported by this volume service.")
        if key == "volume_backend_name" and value != FIRST_NAME:
            raise invalid_input(f"there is no backend '{value[:255]}'.")
    return specs


MISSING = "Volume type {} could not be found."


def missing(type_id: str) -> ServiceError:
    return ServiceError(404, MISSING.format(type_id[:255]))


_IN_ORDER = select(VolumeType).order_by(col(VolumeType.created_at), col(VolumeType.id))


class Types:
    """Finds types. One that is neither public nor opened to the caller's project does not exist for a tenant."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

    def _manages(self, caller: Context) -> bool:
        return self._policy.allows(caller, "volume_extension:types_manage")

    def visible(self, session: Session, caller: Context) -> list[VolumeType]:
        """All there are for who manages them, else what the caller's project may use."""
        if self._manages(caller) or caller.is_service:
            return list(session.exec(_IN_ORDER).all())
        return self.usable(session, caller.project_id)

    def usable(self, session: Session, project_id: str | None) -> list[VolumeType]:
        """What is public or was opened to the project."""
        mine = select(TypeAccess.type_id).where(TypeAccess.project_id == project_id)
        opened = or_(col(VolumeType.is_public), col(VolumeType.id).in_(mine))
        return list(session.exec(_IN_ORDER.where(opened)).all())

    def get(self, session: Session, caller: Context, type_id: str) -> VolumeType:
        for row in self.visible(session, caller):
            if row.id == type_id:
                return row
        raise missing(type_id)

    def named(self, session: Session, caller: Context, wanted: str) -> VolumeType:
        """By id or by name, as a volume's creation and retype name it."""
        for row in self.visible(session, caller):
            if wanted in (row.id, row.name):
                return row
        if is_uuid(wanted):
            raise missing(wanted)
        raise ServiceError(404, f"Volume type with name {wanted[:255]} could not be found.")

    def default(self, session: Session, project_id: str) -> VolumeType:
        chosen = session.get(DefaultType, project_id)
        row = session.get(VolumeType, chosen.type_id if chosen else FIRST_ID)
        assert row is not None, "a type that is a default is not deleted"
        return row

    def view(self, caller: Context, row: VolumeType, *, by: str = "GET") -> dict[str, Any]:
        """`by`: the method of the request. Source: the two view builders of types in cinder/api."""
        specs = row.extra_specs
        if not self._policy.allows(caller, "volume_extension:types_extra_specs:read_sensitive"):
            specs = {key: value for key, value in specs.items() if key in TENANT_VISIBLE}
        body = {
            "id": row.id,
            "name": row.name,
            "description": row.description,
            "is_public": row.is_public,
            "extra_specs": specs,
        }
        if by == "GET" and self._manages(caller):
            body["qos_specs_id"] = None
        return body if by == "PUT" else body | {"os-volume-type-access:is_public": row.is_public}


def is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
