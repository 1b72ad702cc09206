"""Inputs of a boot's steps, put together from the request and from what earlier steps found."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from infra.contracts.hypervisor import DomainSpec, FlavorFacts, GuestConfig
    from infra.contracts.image import DiskOnHost, ImageOnHost
    from infra.contracts.instance import DeletePlan
    from infra.contracts.network import Plugged, PortRequest, PortsOnHost
    from infra.contracts.operation import InstanceFacts
    from infra.contracts.placement import Claimed, ClaimRequest
    from infra.contracts.requests import BootRequest
    from infra.contracts.volume import Attached, VolumeRequest, VolumesOnHost


def claim_request(req: BootRequest, tried: dict[str, str]) -> ClaimRequest:
    return ClaimRequest(
        instance_id=req.instance_id,
        zone=req.availability_zone,
        forced_host=req.forced_host,
        requested_host=req.requested_host,
        tried=dict(tried),
    )


def leftovers(req: BootRequest) -> DeletePlan:
    """What the network and volume services may hold for a failed build whose host cannot be asked."""
    return DeletePlan(
        instance_id=req.instance_id,
        project_id=req.requester.project_id,
        name=req.name,
        port_ids={port.port_id: port.mine for port in req.ports},
        volumes=req.volumes,
        failed=True,
    )


def named(req: BootRequest) -> DeletePlan | None:
    """Ports and volumes that the tenant named; None when all are made for the server."""
    ports = {port.port_id: False for port in req.ports if not port.mine}
    volumes = [volume for volume in req.volumes if not volume.create]
    if not ports and not volumes:
        return None
    return leftovers(req).model_copy(update={"port_ids": ports, "volumes": volumes})


def ports_on_host(req: BootRequest, claim: Claimed) -> PortsOnHost:
    return PortsOnHost(
        instance_id=req.instance_id,
        project_id=req.requester.project_id,
        hostname=req.hostname,
        availability_zone=claim.zone,
        security_groups=req.security_groups,
        ports=req.ports,
        attempt=claim.attempt,
    )


def volumes_on_host(req: BootRequest, claim: Claimed) -> VolumesOnHost:
    return VolumesOnHost(
        instance_id=req.instance_id,
        project_id=req.requester.project_id,
        volumes=req.volumes,
        attempt=claim.attempt,
    )


def disk_on_host(req: BootRequest, claim: Claimed, flavor: FlavorFacts) -> ImageOnHost:
    return ImageOnHost(
        instance_id=req.instance_id,
        image_id=req.image_id,
        disk_gb=flavor.disk,
        trusted=req.trusted_certificates,
        attempt=claim.attempt,
    )


def domain_spec(
    req: BootRequest,
    claim: Claimed,
    flavor: FlavorFacts,
    disk: DiskOnHost | ImageOnHost | None,
    plugged: Plugged,
    attached: Attached,
) -> DomainSpec:
    """`disk`: the one that is there, the one that is to be made before the guest, or None."""
    lays = disk if isinstance(disk, ImageOnHost) else None
    guest = GuestConfig(
        hostname=req.hostname,
        admin_pass=req.admin_pass,
        user_data=req.user_data,
        injected_files=req.injected_files,
        key_name=req.key_name,
        public_key=req.public_key,
        metadata=req.metadata,
        availability_zone=claim.zone,
        launch_index=req.launch_index,
        project_id=req.requester.project_id,
    )
    return DomainSpec(
        instance_id=req.instance_id,
        attempt=claim.attempt,
        name=req.name,
        project_id=req.requester.project_id,
        user_id=req.requester.user_id,
        flavor=flavor,
        image_id=req.image_id,
        image_properties=req.image_properties,
        disk=DiskOnHost() if isinstance(disk, ImageOnHost) else disk,
        lays=lays,
        local_disks=req.local_disks,
        vifs=plugged.vifs,
        volumes=attached.volumes,
        guest=guest,
    )


def ports_of(server: InstanceFacts) -> PortsOnHost:
    """The ports that a server has."""
    return PortsOnHost(
        instance_id=server.instance_id,
        project_id=server.project_id,
        hostname=server.hostname,
        availability_zone=server.zone,
        ports=[
            PortRequest(
                port_id=port["port_id"],
                network_id=port["network_id"],
                mine=server.ports.get(port["port_id"], False),
                tag=port.get("tag"),
            )
            for port in server.networks
        ],
        attempt=server.attempt,
    )


def held_ports(server: InstanceFacts) -> PortsOnHost:
    """The same, to be plugged once more: whichever of them was deleted behind the server's back costs it that one."""
    return ports_of(server).model_copy(update={"held": True})


def volumes_of(server: InstanceFacts) -> VolumesOnHost:
    """The volumes that a server has: they exist, whoever made them."""
    return VolumesOnHost(
        instance_id=server.instance_id,
        project_id=server.project_id,
        volumes=[VolumeRequest.model_validate({**volume, "create": False}) for volume in server.volumes],
        attempt=server.attempt,
    )


def held_volumes(server: InstanceFacts) -> VolumesOnHost:
    """The same, to be connected once more to the host that has them: one whose attachment was ended is refused."""
    return volumes_of(server).model_copy(update={"held": True})


def domain_of(
    server: InstanceFacts, guest: GuestConfig, disk: DiskOnHost | None, plugged: Plugged, attached: Attached
) -> DomainSpec:
    """The domain of a server that exists, as its record has it."""
    assert server.flavor is not None
    return DomainSpec(
        instance_id=server.instance_id,
        attempt=server.attempt,
        name=server.name,
        project_id=server.project_id,
        user_id=server.user_id,
        flavor=server.flavor,
        image_id=server.image_id,
        image_properties=server.image_properties,
        disk=disk,
        local_disks=server.local_disks,
        vifs=plugged.vifs,
        volumes=attached.volumes,
        guest=guest,
    )


def first_addresses(plugged: Plugged) -> dict[str, str]:
    """Port id → its first address."""
    return {vif.port_id: vif.fixed_ips[0].ip_address for vif in plugged.vifs if vif.fixed_ips}
