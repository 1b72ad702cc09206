"""What resize, its confirmation and its way back have in common."""

from typing import Any

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.contracts.aside import Aside
    from infra.contracts.errors import hopeless
    from infra.contracts.hypervisor import FlavorFacts
    from infra.contracts.operation import InstanceFacts, Transition
    from infra.contracts.resize import Migration

CONFIRM = Transition(
    event="confirmResize", verb="confirmResize", allowed=frozenset(("resized",)), doing="resize_confirming"
)


def aside_of(server: InstanceFacts, migration: Migration) -> Aside:
    """The guest as it was, kept since the resize."""
    return Aside(
        instance_id=server.instance_id,
        attempt=server.attempt,
        label="resize",
        request_id=migration.request_id,
        disk="copied",
        runs=migration.old_vm_state == "active",
    )


def as_it_was(server: InstanceFacts, migration: Migration) -> InstanceFacts:
    """The server on the host that kept it. Volumes and ports come and go while a resize waits: those are as by now."""
    there = {"host": migration.source, "attempt": migration.source_attempt}
    shape = {"flavor": migration.old_flavor, "local_disks": migration.old_local_disks}
    return server.model_copy(update=there | shape)


def columns_of(flavor: FlavorFacts) -> dict[str, Any]:
    """The record's columns that a flavor decides."""
    return {
        "flavor": flavor,
        "flavor_id": flavor.id,
        "vcpus": flavor.vcpus,
        "memory_mb": flavor.ram,
        "root_gb": flavor.disk,
    }


def migration_of(server: InstanceFacts) -> Migration:
    """The resize that waits. Hopeless (409) when there is none."""
    if server.migration is None:
        raise hopeless(f"Instance {server.instance_id} has not been resized.", code=409)
    return server.migration
