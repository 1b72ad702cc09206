"""Who may do what: a reader changes nothing, by the table of rules and by every route that changes something."""

import os
import re
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api.common.context import Context
from api.common.policy import Policy
from api.volume.app import MODULES
from api.volume.policy import RULES
from infra.identity import TokenFacts
from tests.volume.cloud import Cloud

READS = ("volume:get", "volume:get_snapshot", "volume:get_transfer", "volume_extension:quotas:show")


def who(project: str, *roles: str) -> Context:
    facts = TokenFacts(user_id="u", user_name="u", project_id=project, project_name=project, roles=list(roles))
    return Context(token="", facts=facts, request_id="")


def test_every_rule_but_those_of_reading_needs_more_than_the_role_reader(tmp_path: Path) -> None:
    policy, target = Policy("volume", RULES, tmp_path), {"project_id": "p"}

    def allowed(caller: Context) -> set[str]:
        return {name for name in RULES if policy.allows(caller, name, target)} - {"operator", "writer", "attacher"}

    assert allowed(who("p", "reader")) == set(READS)
    written = allowed(who("p", "member", "reader")) - set(READS)
    assert "volume:delete" in written and "volume:force_delete" not in written
    own = {"volume:create", "volume:multiattach", "volume:accept_transfer", "message:delete"}
    assert allowed(who("q", "member", "reader")) == own, "these act in the caller's own project, whatever the target"


def test_what_the_rules_in_code_said_is_remembered_for_this_caller_and_target_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: Policy._said. oslo.policy looks at the signature of each part of a rule, each time it is asked."""
    policy, asked = Policy("volume", RULES, tmp_path), list[str]()
    enforce = policy._enforcer.enforce

    def counted(rule: str, *about: Any) -> bool:
        asked.append(rule)
        return bool(enforce(rule, *about))

    monkeypatch.setattr(policy._enforcer, "enforce", counted)
    mine, others = {"project_id": "p"}, {"project_id": "q"}
    for _ in range(2):
        assert policy.allows(who("p", "member"), "volume:delete", mine)
        assert not policy.allows(who("p", "member"), "volume:delete", others)
        assert not policy.allows(who("p", "reader"), "volume:delete", mine)
        assert policy.allows(who("q", "member"), "volume:delete", others)
    assert len(asked) == 4


def test_a_file_of_rules_is_asked_each_time(tmp_path: Path) -> None:
    """It may change while the service runs."""
    file = tmp_path / "policy" / "volume.yaml"
    file.parent.mkdir()
    file.write_text('"volume:delete": "!"\n')
    policy, mine = Policy("volume", RULES, tmp_path), {"project_id": "p"}
    assert not policy.allows(who("p", "member"), "volume:delete", mine)
    file.write_text('"volume:delete": "@"\n')
    later = time.time() + 5
    os.utime(file, (later, later))
    assert policy.allows(who("p", "member"), "volume:delete", mine)


def test_a_compute_hosts_credential_is_no_operators(tmp_path: Path) -> None:
    policy = Policy("volume", RULES, tmp_path)
    host = who("services", "kilonova-host", "service")
    allowed = {name for name in RULES if policy.allows(host, name, {"project_id": "p"})} - {"attacher"}
    assert allowed == {
        *READS,
        *("volume:create", "volume:create_for_project", "volume:multiattach", "volume:delete"),
        *("volume:attachment_create", "volume:attachment_update", "volume:attachment_delete"),
        "volume:attachment_of_server",
    }


def test_a_compute_host_connects_to_itself_and_learns_no_other_hosts_exports(cloud: Cloud) -> None:
    mine, others = cloud.volume(), cloud.volume()
    elsewhere = cloud.attach(others, "node2", instance_uuid=str(uuid.uuid4()))
    thief = {"user": "host-node1"}
    told = cloud.ok("GET", f"/attachments/{elsewhere['id']}", **thief)["attachment"]
    assert told["connection_info"] == {}
    assert cloud.ok("GET", "/attachments/detail?all_tenants=1", **thief)["attachments"] == []
    assert cloud.ok("GET", "/volumes/detail?all_tenants=1", **thief)["volumes"] == []
    body = {"attachment": {"volume_uuid": mine, "instance_uuid": str(uuid.uuid4())}}
    made = cloud.ok("POST", "/attachments", body, **thief)["attachment"]
    path = f"/attachments/{made['id']}"
    for name, status in (("node2", 403), ("node1", 200)):
        answer = cloud.call("PUT", path, {"attachment": {"connector": {"host": name}}}, **thief)
        assert answer.status_code == status, answer.text
    assert answer.json()["attachment"]["connection_info"]["export"]
    assert cloud.call("POST", f"/volumes/{mine}/action", {"os-force_delete": {}}, **thief).status_code == 403
    for attachment, volume in ((made, mine), (elsewhere, others)):
        cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
        cloud.delete(volume)


@pytest.fixture(scope="module")
def reader(whole_cloud: Cloud) -> str:
    return whole_cloud.person("reader-of-demo", "reader")


def test_a_reader_writes_nowhere(cloud: Cloud, reader: str) -> None:
    """Each changing route with things that exist in the reader's own project: 403, or 501 where nobody may yet."""
    volume, kind = cloud.volume(metadata={"k": "v"}), cloud.ok("GET", "/types")["volume_types"][0]["id"]
    snapshot = cloud.snapshot(volume, metadata={"k": "v"})
    attachment = cloud.attach(volume)
    offered = cloud.volume()
    transfer = cloud.ok("POST", "/volume-transfers", {"transfer": {"volume_id": offered}})["transfer"]
    ids = {
        "volume_id": volume,
        "snapshot_id": snapshot,
        "attachment_id": attachment["id"],
        "transfer_id": transfer["id"],
        "type_id": kind,
        "project_id": cloud.project_ids["demo"],
        "message_id": str(uuid.uuid4()),
        "object_id": volume,
        "key": "k",
        "rest": "x",
        "name": "default",
    }
    tried = 0
    for module in MODULES:
        for route in _changing(module.router):
            for method in sorted(route.methods - {"GET", "HEAD"}):
                named = ids | ({"object_id": snapshot} if "/snapshots/" in route.path else {})
                path = re.sub(r"\{(\w+)(:path)?\}", lambda m, known=named: known[m[1]], route.path)
                for body in _bodies(method, path, volume):
                    answer = cloud.call(method, path, body, user=reader)
                    assert answer.status_code in (403, 501), (method, path, body, answer.status_code, answer.text)
                    tried += 1
    assert tried > 60
    assert cloud.ok("GET", f"/volumes/{volume}", user=reader)["volume"]["metadata"] == {"k": "v"}
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    cloud.call("DELETE", f"/volumes/{volume}?cascade=true")
    cloud.call("DELETE", f"/volume-transfers/{transfer['id']}")
    cloud.delete(offered)


def _changing(router: Any) -> list[APIRoute]:
    return [r for r in router.routes if isinstance(r, APIRoute) and r.methods - {"GET", "HEAD"}]


def _bodies(method: str, path: str, volume: str) -> list[Any]:
    """Bodies that would be taken from a member, so that nothing but the role is in the way."""
    uploads = {"os-volume_upload_image": {"image_name": "x"}}
    connector = {"connector": {"host": "h"}}
    actions = {
        "os-extend": {"new_size": 5},
        "os-reset_status": {"status": "error"},
        "os-force_delete": {},
        "os-set_bootable": {"bootable": True},
        "os-update_readonly_flag": {"readonly": True},
        "os-set_image_metadata": {"metadata": {"a": "b"}},
        "os-unset_image_metadata": {"key": "a"},
        "os-initialize_connection": connector,
        "os-terminate_connection": connector,
        "os-attach": {"mountpoint": "/dev/vdb", "host_name": "h"},
        "os-detach": {},
        "os-force_detach": {},
        "os-reserve": {},
        "os-unreserve": {},
        "os-begin_detaching": {},
        "os-roll_detaching": {},
        "os-retype": {"new_type": "nbd"},
        "os-reimage": {"image_id": str(uuid.uuid4())},
        "revert": {"snapshot_id": str(uuid.uuid4())},
        **uploads,
    }
    if method == "DELETE":
        return [None]
    if path == f"/volumes/{volume}/action":
        return [{name: given} for name, given in actions.items()]
    if path.startswith("/snapshots/") and path.endswith("/action"):
        return [{"os-reset_status": {"status": "error"}}, {"os-force_delete": {}}]
    if path.startswith("/attachments/") and path.endswith("/action"):
        return [{"os-complete": {}}]
    return [_plain(path, volume)]


def _plain(path: str, volume: str) -> Any:
    known: dict[str, Any] = {
        "volumes": {"volume": {"size": 1} if path == "/volumes" else {"name": "n"}},
        "snapshots": {"snapshot": {"volume_id": volume} if path == "/snapshots" else {"name": "n"}},
        "attachments": {"attachment": {"volume_uuid": volume}},
        "os-volume-transfer": {"transfer": {"volume_id": volume}},
        "volume-transfers": {"transfer": {"volume_id": volume}},
        "types": {"volume_type": {"name": "n"}},
        "default-types": {"default_type": {"volume_type": "nbd"}},
        "os-quota-sets": {"quota_set": {"volumes": 5}},
        "os-quota-class-sets": {"quota_class_set": {"volumes": 5}},
    }
    if path.endswith("/accept"):
        return {"accept": {"auth_key": "k"}}
    if "/metadata/" in path:
        return {"meta": {"k": "w"}}
    if path.endswith("/metadata"):
        return {"metadata": {"k": "w"}}
    if path.startswith("/attachments/"):
        return {"attachment": {"connector": {"host": "h"}}}
    if "/extra_specs/" in path:
        return {"k": "w"}
    if path.endswith("/extra_specs"):
        return {"extra_specs": {"multiattach": "<is> True"}}
    if path.endswith("/action"):
        return {"addProjectAccess": {"project": "p"}}
    return known.get(path.split("/")[1], {})
