"""The extensions list, a relic that old clients and dashboards still read (Compute API reference, "Extensions")."""

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from api.compute.call import Call
from api.compute.errors import not_found
from api.compute.validation import check_query

router = APIRouter()
ALIASES = {
    "NMN": "Multinic",
    "OS-DCF": "DiskConfig",
    "OS-EXT-AZ": "ExtendedAvailabilityZone",
    "OS-EXT-IMG-SIZE": "ImageSize",
    "OS-EXT-IPS": "ExtendedIps",
    "OS-EXT-IPS-MAC": "ExtendedIpsMac",
    "OS-EXT-SRV-ATTR": "ExtendedServerAttributes",
    "OS-EXT-STS": "ExtendedStatus",
    "OS-FLV-DISABLED": "FlavorDisabled",
    "OS-FLV-EXT-DATA": "FlavorExtraData",
    "OS-SCH-HNT": "SchedulerHints",
    "OS-SRV-USG": "ServerUsage",
    "os-attach-interfaces": "AttachInterfaces",
    "os-availability-zone": "AvailabilityZone",
    "os-block-device-mapping-v2-boot": "BlockDeviceMappingV2Boot",
    "os-config-drive": "ConfigDrive",
    "os-console-output": "ConsoleOutput",
    "os-consoles": "Consoles",
    "os-extended-volumes": "ExtendedVolumes",
    "os-flavor-access": "FlavorAccess",
    "os-flavor-extra-specs": "FlavorExtraSpecs",
    "os-flavor-manage": "FlavorManage",
    "os-hosts": "Hosts",
    "os-hypervisors": "Hypervisors",
    "os-instance-actions": "InstanceActions",
    "os-keypairs": "Keypairs",
    "os-multiple-create": "MultipleCreate",
    "os-quota-sets": "Quotas",
    "os-remote-consoles": "Consoles",
    "os-services": "Services",
    "os-simple-tenant-usage": "SimpleTenantUsage",
    "os-used-limits": "UsedLimits",
    "os-user-data": "UserData",
}


def _extension(alias: str) -> dict[str, object]:
    return {
        "alias": alias,
        "name": ALIASES[alias],
        "description": "",
        "links": [],
        "namespace": "http://docs.openstack.org/compute/ext/fake_xml",
        "updated": "2014-12-03T00:00:00Z",
    }


@router.get("/extensions")
def list_extensions(call: Call) -> Response:
    """What once were extensions, and is here."""
    check_query(call, since=102)
    call.enforce("os_compute_api:extensions")
    return JSONResponse({"extensions": [_extension(alias) for alias in ALIASES]})


@router.get("/extensions/{alias}")
def show_extension(call: Call, alias: str) -> Response:
    """One extension by its alias."""
    check_query(call, since=102)
    call.enforce("os_compute_api:extensions")
    if alias not in ALIASES:
        raise not_found()
    return JSONResponse({"extension": _extension(alias)})
