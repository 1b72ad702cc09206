"""What is asked about servers and what hangs on them."""

from collections.abc import Iterator
from itertools import product

from tests.peer.asks import NOBODY, Ask, malformed

VERSIONS = ("", "2.1", "2.9", "2.16", "2.26", "2.47", "2.60", "2.71", "2.79", "2.93")
ONE = "/v2.1/servers/{server}"
READ = ("", "/ips", "/ips/peer-inside", "/ips/nonsense", "/metadata", "/metadata/colour", "/metadata/none", "/tags",
        "/tags/red", "/tags/none", "/os-instance-actions", "/os-instance-actions/{request}",
        "/os-instance-actions/req-" + NOBODY, "/os-interface", "/os-interface/{port}", f"/os-interface/{NOBODY}",
        "/os-interface/nonsense", "/os-volume_attachments", f"/os-volume_attachments/{NOBODY}",
        "/os-volume_attachments/nonsense", "/os-security-groups", "/migrations", "/migrations/1", "/migrations/x",
        "/diagnostics", "/os-server-password", "/topology", "/shares", "/os-virtual-interfaces", "/consoles",
        "/nonsense")  # fmt: skip
FILTERS = (
    "limit=1", "limit=0", "limit=-1", "limit=x", "limit=99999", "limit=1&limit=2", "marker=nonsense",
        f"marker={NOBODY}", "marker=",
    "marker={server}", "sort_key=name", "sort_key=nonsense", "sort_key=host", "sort_key=uuid&sort_dir=asc",
        "sort_dir=asc",
    "sort_dir=nonsense", "sort_key=", "sort_key=created_at&sort_key=name&sort_dir=asc", "nonsense=1", "name=peer",
        "name=[",
    "name=^peer-s", "status=ACTIVE", "status=active", "status=nonsense", "status=ACTIVE&status=SHUTOFF", "status=",
        "status=DELETED",
    "deleted=True", "deleted=x", "deleted=False", "all_tenants=1", "all_tenants=0", "all_tenants=x", "all_tenants",
        "all_tenants=",
    "changes-since=2020-01-01T00:00:00Z", "changes-since=x", "changes-since=", "changes-before=2020-01-01T00:00:00Z",
    "changes-before=x", "changes-since=2021-01-01T00:00:00Z&changes-before=2020-01-01T00:00:00Z", "ip=192", "ip=[",
        "ip6=[",
    "ip6=2001", "tags=red", "tags-any=red,blue", "not-tags=red", "not-tags-any=red", "tags=red&tags=blue", "tags=",
    "flavor=peer-a", "flavor=nonsense", "image={image}", "image=x", "host={service_host}", "host=x", "node={host}",
    "project_id={member_project}", "tenant_id={member_project}", "project_id=x&all_tenants=1", "user_id={member_user}",
    "user_id=x", "uuid={server}", "uuid=x", "reservation_id=x", "power_state=1", "power_state=x", "vm_state=active",
    "vm_state=x", "task_state=x", "locked=true", "locked=x", "key_name=x", "availability_zone=nova",
        "availability_zone=x",
    "config_drive=true", "config_drive=x", "launched_at=x", "created_at=2020-01-01T00:00:00Z", "created_at=x",
        "terminated_at=x",
    "progress=0", "progress=x", "description=x", "hostname=peer-server", "instance_name=x", "access_ip_v4=192.0.2.1",
    "access_ip_v4=x", "display_name=peer", "root_device_name=x", "ramdisk_id=x", "kernel_id=x", "launch_index=0",
        "metadata=x",
    "system_metadata=x", "soft_deleted=true", "soft_deleted=x", "block_device_mapping=x", "services=x",
        "metadata=%7B%7D",
)  # fmt: skip
FOREIGN = ("/v2.1/servers/{foreign}", f"/v2.1/servers/{NOBODY}", "/v2.1/servers/nonsense")
CREATE = {"name": "peer-new", "flavorRef": "peer-a", "imageRef": "{image}", "networks": [{"uuid": "{network}"}]}
FULL = CREATE | {
    "metadata": {"key": "value"}, "user_data": "eA==", "config_drive": True, "availability_zone": "nova",
    "security_groups": [{"name": "default"}], "min_count": 1, "max_count": 1, "key_name": "peer-key",
    "accessIPv4": "192.0.2.1", "accessIPv6": "2001:db8::1", "adminPass": "word", "OS-DCF:diskConfig": "AUTO",
    "return_reservation_id": False,
}  # fmt: skip
NEW = CREATE | {
    "networks": [{"uuid": "{network}", "tag": "nic"}], "description": "text", "tags": ["one"], "hostname": "vm",
    "trusted_image_certificates": None, "host": "{service_host}", "hypervisor_hostname": "{host}",
}  # fmt: skip
BLOCKS = CREATE | {
    "block_device_mapping_v2": [
        {"source_type": "image", "destination_type": "local", "uuid": "{image}", "boot_index": 0, "volume_size": 1,
         "delete_on_termination": True, "device_name": "vda", "device_type": "disk", "disk_bus": "virtio",
             "tag": "root"},
    ],
}  # fmt: skip
HINTS = {"group": "{together}", "same_host": ["{server}"], "different_host": ["{server}"], "query": "[]",
         "build_near_host_ip": "192.0.2.1", "cidr": "/24", "target_cell": "x", "different_cell": ["x"],
             "x": 1}  # fmt: skip
ACTIONS = {
    "reboot": {"type": "SOFT"}, "os-start": None, "os-stop": None, "pause": None, "unpause": None, "suspend": None,
    "resume": None, "lock": None, "unlock": None, "shelve": None, "unshelve": None, "shelveOffload": None,
        "rescue": None,
    "unrescue": None, "resize": {"flavorRef": "peer-b"}, "confirmResize": None, "revertResize": None,
    "rebuild": {"imageRef": "{image}"}, "changePassword": {"adminPass": "word"}, "createImage": {"name": "x"},
    "createBackup": {"name": "x", "backup_type": "daily", "rotation": 1}, "restore": None, "forceDelete": None,
    "addSecurityGroup": {"name": "default"}, "removeSecurityGroup": {"name": "default"},
    "addFixedIp": {"networkId": "{network}"}, "removeFixedIp": {"address": "192.0.2.77"},
    "addFloatingIp": {"address": "203.0.113.77"}, "removeFloatingIp": {"address": "203.0.113.77"},
    "os-getConsoleOutput": {"length": 5}, "os-getVNCConsole": {"type": "novnc"},
        "os-getSPICEConsole": {"type": "spice-html5"},
    "os-getRDPConsole": {"type": "rdp-html5"}, "os-getSerialConsole": {"type": "serial"},
        "os-resetState": {"state": "active"},
    "trigger_crash_dump": None, "injectNetworkInfo": None, "resetNetwork": None, "migrate": None,
    "os-migrateLive": {"host": None, "block_migration": False, "disk_over_commit": False},
        "evacuate": {"onSharedStorage": False},
    "nonsense": None,
}  # fmt: skip
RESTFUL = ("os-getConsoleOutput", "addSecurityGroup", "removeSecurityGroup", "addFixedIp", "removeFixedIp", "os-start",
           "unpause", "resume", "unrescue", "confirmResize", "revertResize", "restore", "unshelve", "shelveOffload",
           "removeFloatingIp", "addFloatingIp", "os-getVNCConsole", "os-getSPICEConsole", "os-getRDPConsole",
           "os-getSerialConsole", "unlock", "nonsense", "resetNetwork", "injectNetworkInfo",
               "changePassword")  # fmt: skip
"""Actions that leave a running server, of which nothing was asked before, as it is."""


def asks() -> Iterator[Ask]:
    yield from _read()
    yield from _lists()
    yield from _created()
    yield from _changed()
    yield from _parts()
    yield from _acted()


def _read() -> Iterator[Ask]:
    for version, part, who in product(VERSIONS, READ, ("member", "admin")):
        yield Ask("servers: one", "GET", ONE + part, who=who, version=version)
    for path, part, version in product(FOREIGN, READ, ("2.1", "2.93")):
        yield Ask("servers: missing and foreign", "GET", path + part, version=version)
    for path in (*FOREIGN, "/v2.1/servers/{locked}"):
        yield Ask("servers: missing and foreign", "DELETE", path)
        yield Ask("servers: missing and foreign", "PUT", path, {"server": {"name": "x"}})


def _lists() -> Iterator[Ask]:
    for version, path in product(
        VERSIONS, ("/v2.1/servers", "/v2.1/servers/detail", "/v2.1/servers?limit=1", "/v2.1/servers/detail?limit=1")
    ):
        yield Ask("servers: lists", "GET", path, version=version)
        yield Ask(
            "servers: lists", "GET", f"{path}{'&' if '?' in path else '?'}all_tenants=1", who="admin", version=version
        )
    for query, who, version in product(FILTERS, ("member", "admin"), ("2.1", "2.93")):
        yield Ask("servers: filters", "GET", f"/v2.1/servers?{query}", who=who, version=version)
    for query in FILTERS:
        yield Ask("servers: filters", "GET", f"/v2.1/servers/detail?{query}")


def _created() -> Iterator[Ask]:
    path = "/v2.1/servers"
    yield from malformed(Ask("servers: create", "POST", path, {"server": FULL}, version="2.1"))
    yield from malformed(Ask("servers: create", "POST", path, {"server": NEW}, version="2.93", who="admin"))
    yield from malformed(Ask("servers: create", "POST", path, {"server": BLOCKS}, version="2.93"))
    for version in ("2.1", "2.56", "2.57", "2.93"):
        yield Ask("servers: create", "POST", path, {"server": FULL}, version=version)
    for name, value in HINTS.items():
        for hint in (value, None, 5, "x", [], {}, NOBODY):
            yield Ask(
                "servers: hints", "POST", path, {"server": CREATE, "os:scheduler_hints": {name: hint}}, version="2.93"
            )
    yield Ask("servers: hints", "POST", path, {"server": CREATE, "os:scheduler_hints": None})
    for networks in ("auto", "none", "x", [], None, [{"port": "{foreign_port}"}], [{"port": NOBODY}],
        [{"uuid": NOBODY}],
                     [{"uuid": "{foreign_network}"}], [{"port": "{port}"}], [{"uuid": "{bare}"}],
                         [{"uuid": "{outside}"}],
                     [{"uuid": "{network}", "fixed_ip": "10.0.0.1"}], [{"uuid": "{network}", "fixed_ip": "x"}],
                     [{"uuid": "{network}", "fixed_ip": "192.0.2.1"}], [{"port": "{free_port}"},
                         {"port": "{free_port}"}],
                     [{"uuid": "{network}", "port": "{free_port}"}], [{"fixed_ip": "192.0.2.9"}], [{}]):  # fmt: skip
        for version in ("2.1", "2.93"):
            yield Ask("servers: networks", "POST", path, {"server": CREATE | {"networks": networks}}, version=version)
    few = {name: value for name, value in CREATE.items() if name != "networks"}
    for version in ("2.1", "2.36", "2.37"):
        yield Ask("servers: networks", "POST", path, {"server": few}, version=version)
    for more in ({"flavorRef": "nonsense"}, {"flavorRef": "peer-c"}, {"imageRef": NOBODY}, {"imageRef": "x"},
        {"imageRef": ""},
                 {"key_name": "none"}, {"security_groups": [{"name": "none"}]},
                     {"security_groups": [{"name": "{foreign_group}"}]},
                 {"availability_zone": "none"}, {"availability_zone": "nova:{service_host}"},
                     {"availability_zone": "nova:x"},
                 {"availability_zone": "nova:x:y:z"}, {"min_count": 2, "max_count": 1}, {"min_count": 0},
                     {"max_count": "2"},
                 {"min_count": 2}, {"networks": [{"port": "{free_port}"}], "min_count": 2}, {"user_data": "%"},
                 {"user_data": "eA" * 40000}, {"metadata": {"k" * 256: "v"}}, {"metadata": {"k": "v" * 256}},
                 {"metadata": {f"k{n}": "v" for n in range(129)}}, {"metadata": {"a b": "v", "a/b": "v"}},
                 {"name": " "}, {"name": " a "}, {"name": "\u00e9"}, {"name": "a\u0007"},
                     {"return_reservation_id": True},
                 {"min_count": 2, "return_reservation_id": True}, {"imageRef": "{image}/x"},
                     {"flavorRef": "http://x/peer-a"},
                 {"hostname": "a.b"}, {"hostname": "a_b"}, {"hostname": "x" * 64}, {"tags": ["a", "a"]},
                     {"tags": ["a/b"]},
                 {"tags": ["a,b"]}, {"tags": ["x" * 61]}, {"tags": [str(n) for n in range(51)]}, {"host": "x"},
                 {"hypervisor_hostname": "x"}, {"block_device_mapping_v2": [{"boot_index": 0}]},
                 {"block_device_mapping_v2": [{"source_type": "volume", "destination_type": "volume",
                     "boot_index": 0}]},
                 {"block_device_mapping_v2": [{"source_type": "snapshot", "destination_type": "local",
                     "uuid": NOBODY}]},
                 {"block_device_mapping_v2": [{"source_type": "blank", "destination_type": "volume"}]},
                 {"block_device_mapping_v2": [{"source_type": "blank", "destination_type": "local", "boot_index": -1}]},
                 {"block_device_mapping_v2": [{"source_type": "image", "destination_type": "volume",
                     "uuid": "{image}"}]},
                 {"block_device_mapping": [{"device_name": "vda", "volume_id": NOBODY}]},
                 {"block_device_mapping": [], "block_device_mapping_v2": []}):  # fmt: skip
        for version, who in product(("2.1", "2.93"), ("member", "admin")):
            yield Ask("servers: create", "POST", path, {"server": CREATE | more}, version=version, who=who)


def _changed() -> Iterator[Ask]:
    body = {
        "server": {
            "name": "peer-server",
            "accessIPv4": "192.0.2.1",
            "accessIPv6": "2001:db8::1",
            "OS-DCF:diskConfig": "AUTO",
        }
    }
    yield from malformed(Ask("servers: change", "PUT", ONE, body, version="2.1"))
    body = {"server": {"name": "peer-server", "description": "text", "hostname": "vm"}}
    yield from malformed(Ask("servers: change", "PUT", ONE, body, version="2.93"))
    for version in VERSIONS:
        yield Ask("servers: change", "PUT", ONE, {"server": {"name": "peer-server"}}, version=version)
    for name in (" ", " a", "a ", "\u0007"):
        yield Ask("servers: change", "PUT", ONE, {"server": {"name": name}})
    yield Ask("servers: change", "PUT", ONE, {"server": {}})
    yield Ask("servers: change", "PUT", ONE, {"server": {"name": "peer-server"}}, version="2.93")


def _parts() -> Iterator[Ask]:
    for method, end, body in (("POST", "/metadata", {"metadata": {"k": "v"}}), ("PUT", "/metadata/k",
        {"meta": {"k": "v"}}),
                              ("PUT", "/metadata", {"metadata": {"colour": "blue"}})):  # fmt: skip
        yield from malformed(Ask("metadata", method, ONE + end, body))
        for path in (*FOREIGN, "/v2.1/servers/{locked}", "/v2.1/servers/{stopped}"):
            yield Ask("metadata", method, path + end, body)
    for body in ({"metadata": {f"k{n}": "v" for n in range(129)}}, {"metadata": {"k" * 256: "v"}},
        {"metadata": {"": "v"}},
                 {"metadata": {"a/b": "v"}}, {"metadata": {"k": "v" * 256}}):  # fmt: skip
        yield Ask("metadata", "POST", ONE + "/metadata", body)
        yield Ask("metadata", "PUT", ONE + "/metadata", body)
    yield Ask("metadata", "PUT", ONE + "/metadata/k", {"meta": {"other": "v"}})
    yield Ask("metadata", "PUT", ONE + "/metadata/k", {"meta": {"k": "v", "l": "w"}})
    yield Ask("metadata", "DELETE", ONE + "/metadata/none")
    yield Ask("metadata", "DELETE", "/v2.1/servers/{locked}/metadata/colour")
    yield from malformed(Ask("tags", "PUT", ONE + "/tags", {"tags": ["red", "blue"]}, version="2.26"))
    for path in (ONE, *FOREIGN, "/v2.1/servers/{locked}"):
        for method, end, body in (("PUT", "/tags", {"tags": ["red"]}), ("PUT", "/tags/red", None), ("DELETE",
            "/tags/none", None),
                                  ("PUT", "/tags/" + "x" * 61, None), ("PUT", "/tags/a,b", None), ("PUT", "/tags/green",
                                      None),
                                  ("DELETE", "/tags/green", None)):  # fmt: skip
            for version in ("2.25", "2.26", "2.93"):
                yield Ask("tags", method, path + end, body, version=version)
    yield Ask("tags", "PUT", ONE + "/tags", {"tags": [str(n) for n in range(51)]}, version="2.26")
    yield Ask("tags", "PUT", ONE + "/tags", {"tags": ["red", "red"]}, version="2.26")
    for about in (
        {"net_id": "{network}", "fixed_ips": [{"ip_address": "192.0.2.200"}], "tag": "x"},
        {"port_id": NOBODY, "tag": "x"},
    ):
        yield from malformed(
            Ask("interfaces", "POST", ONE + "/os-interface", {"interfaceAttachment": about}, version="2.70")
        )
    for about in ({"port_id": "{port}"}, {"port_id": "{foreign_port}"}, {"net_id": "{foreign_network}"},
        {"net_id": NOBODY},
                  {"net_id": "{bare}"}, {"net_id": "{network}", "port_id": "{free_port}"},
                      {"fixed_ips": [{"ip_address": "192.0.2.9"}]},
                  {"net_id": "{network}", "fixed_ips": [{"ip_address": "10.0.0.1"}]}, {"net_id": "{network}",
                      "tag": "a/b"}):  # fmt: skip
        for path, version in product((ONE, *FOREIGN, "/v2.1/servers/{locked}"), ("2.1", "2.70")):
            yield Ask("interfaces", "POST", path + "/os-interface", {"interfaceAttachment": about}, version=version)
    for path, port in product(
        (ONE, *FOREIGN, "/v2.1/servers/{locked}"), (NOBODY, "nonsense", "{foreign_port}", "{free_port}")
    ):
        yield Ask("interfaces", "DELETE", f"{path}/os-interface/{port}")
    yield from malformed(Ask("volume attachments", "POST", ONE + "/os-volume_attachments",
                             {"volumeAttachment": {"volumeId": "x", "device": "/dev/vdb", "tag": "x",
                                 "delete_on_termination": False}},
                             version="2.79"))  # fmt: skip
    yield from malformed(Ask("volume attachments", "PUT", f"{ONE}/os-volume_attachments/{NOBODY}",
                             {"volumeAttachment": {"volumeId": "x"}}, version="2.84", who="admin"))  # fmt: skip
    for path, volume in product((ONE, *FOREIGN, "/v2.1/servers/{locked}"), (NOBODY, "nonsense")):
        if path != ONE:
            yield Ask("volume attachments", "DELETE", f"{path}/os-volume_attachments/{volume}")
            yield Ask(
                "volume attachments",
                "POST",
                f"{path}/os-volume_attachments",
                {"volumeAttachment": {"volumeId": NOBODY}},
            )
    for version in ("2.5", "2.6", "2.8", "2.93"):
        for kind in ({"protocol": "vnc", "type": "novnc"}, {"protocol": "vnc", "type": "x"}, {"protocol": "x",
            "type": "novnc"},
                     {"protocol": "mks", "type": "webmks"}, {"protocol": "spice", "type": "novnc"}):  # fmt: skip
            yield Ask(
                "consoles", "POST", "/v2.1/servers/{foreign}/remote-consoles", {"remote_console": kind}, version=version
            )


def _acted() -> Iterator[Ask]:
    for name, body in ACTIONS.items():
        for path in (*FOREIGN, *(["/v2.1/servers/{locked}"] if name not in ("unlock", "os-resetState") else [])):
            yield Ask("actions", "POST", f"{path}/action", {name: body})
        yield Ask("actions", "POST", "/v2.1/servers/{foreign}/action", {name: body}, version="2.93")
    for name in RESTFUL:
        for version in ("2.1", "2.93"):
            yield Ask("actions", "POST", ONE + "/action", {name: ACTIONS[name]}, version=version)
    for name in ("os-stop", "pause", "unpause", "suspend", "resume", "rescue", "unrescue", "confirmResize",
        "revertResize",
                 "shelveOffload", "unshelve", "reboot", "os-getConsoleOutput", "trigger_crash_dump", "os-resetState",
                     "changePassword",
                 "os-getVNCConsole", "restore", "addFixedIp", "nonsense"):  # fmt: skip
        for version in ("2.1", "2.93"):
            yield Ask("actions", "POST", "/v2.1/servers/{stopped}/action", {name: ACTIONS[name]}, version=version)
    for name, body in ACTIONS.items():
        if isinstance(body, dict) and name not in ("evacuate", "os-migrateLive", "createImage", "createBackup"):
            for version in ("2.1", "2.93"):
                yield from malformed(
                    Ask("actions", "POST", "/v2.1/servers/{locked}/action", {name: body}, version=version)
                )
    for name in ("evacuate", "os-migrateLive", "createImage", "createBackup"):
        yield from malformed(
            Ask("actions", "POST", f"/v2.1/servers/{NOBODY}/action", {name: ACTIONS[name]}, who="admin")
        )
    yield Ask("actions", "POST", ONE + "/action", {"os-start": None, "os-stop": None})
