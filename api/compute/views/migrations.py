"""Migrations as JSON, right at every microversion."""

from typing import Any
from zlib import crc32

from sqlalchemy import RowMapping

from api.compute.call import ComputeCall
from api.compute.views import shapes
from api.compute.views.spans import at
from api.compute.views.states import micro


def migration_view(call: ComputeCall, row: RowMapping) -> dict[str, Any]:
    shown = {
        "id": row["number"],
        "instance_uuid": row["instance_id"],
        "status": row["status"],
        "source_compute": row["source_compute"],
        "source_node": row["source_compute"],
        "dest_compute": row["dest_compute"],
        "dest_node": row["dest_compute"],
        "dest_host": row["dest_host"],
        "old_instance_type_id": flavor_number(row["old_flavor"]["id"]),
        "new_instance_type_id": flavor_number(row["new_flavor"]["id"]),
        "created_at": micro(row["created_at"]),
        "updated_at": micro(row["updated_at"]),
        "migration_type": row["migration_type"],
        "uuid": row["id"],
        "user_id": row["user_id"],
        "project_id": row["project_id"],
    }
    return at(call.version, shapes.Migration, shown)


def flavor_number(flavor_id: str) -> int:
    """Nova shows its table's own key here, which no other part of the API tells. Ours is the id where that is a number,
    else one that follows from it: equal flavors have equal numbers."""
    return int(flavor_id) if flavor_id.isdecimal() and len(flavor_id) < 10 else crc32(flavor_id.encode()) >> 1
