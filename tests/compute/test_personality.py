"""`personality`: files that are injected, until microversion 2.56."""

import base64
import uuid
from typing import Any

import pytest

from tests.compute.conftest import Api, Cloud
from tests.compute.test_boot import Lab, lab

__all__ = ["lab"]
MOTD = base64.b64encode(b"welcome\n").decode()
FILE = {"path": "/etc/motd", "contents": MOTD}


def test_files_reach_the_build_as_base64_without_line_breaks(lab: Lab, demo: Api) -> None:
    broken = {"path": "/etc/long", "contents": base64.encodebytes(b"x" * 100).decode()}
    assert "\n" in broken["contents"]
    found = lab.boot(demo, "2.56", personality=[FILE, broken]).injected_files
    assert [file.path for file in found] == ["/etc/motd", "/etc/long"]
    assert [base64.b64decode(file.contents, validate=True) for file in found] == [b"welcome\n", b"x" * 100]


@pytest.mark.parametrize(
    ("personality", "status", "words"),
    [
        ([{**FILE, "contents": "%"}], 400, "It is not in 'base64' format"),
        ([{"path": "/x"}], 400, "'contents' is a required property"),
        ([{"contents": MOTD}], 400, "'path' is a required property"),
        ([{**FILE, "mode": "0600"}], 400, "'mode' was unexpected"),
        ([{**FILE, "path": None}], 400, "personality"),
        (["x"], 400, "personality"),
        ({}, 400, "personality"),
        ([FILE] * 6, 403, "Personality file limit exceeded"),
        ([{**FILE, "path": "/" * 256}], 403, "Personality file path exceeds maximum 255"),
        ([{**FILE, "contents": "AAAA" * 2561}], 403, "Personality file content exceeds maximum 10240"),
    ],
)  # fmt: skip
def test_what_is_refused_of_a_build_is_of_a_rebuild(
    lab: Lab, cloud: Cloud, demo: Api, personality: Any, status: int, words: str
) -> None:
    assert words in demo.refused("POST", "/servers", status, "2.56", json=lab.server(personality=personality))
    server = cloud.server(demo, host="node1", image_ref=str(uuid.uuid4()))
    body = {"rebuild": {"imageRef": lab.image, "personality": personality}}
    assert words in demo.refused("POST", f"/servers/{server}/action", status, "2.56", json=body)


def test_as_many_and_as_long_as_the_quotas_allow(lab: Lab, demo: Api) -> None:
    file = {"path": "/" * 255, "contents": "AAAA" * 2560}
    assert len(lab.boot(demo, "2.56", personality=[file] * 5).injected_files) == 5


def test_a_quota_of_the_project_counts(lab: Lab, demo: Api, admin: Api) -> None:
    quotas = f"/os-quota-sets/{demo.project_id}"
    admin.put(quotas, {"quota_set": {"injected_files": -1, "injected_file_path_bytes": 4}}, version="2.56")
    try:
        words = demo.refused("POST", "/servers", 403, "2.56", json=lab.server(personality=[FILE]))
        assert words == "Personality file path exceeds maximum 4"
        assert len(lab.boot(demo, "2.56", personality=[{**FILE, "path": "/x"}] * 7).injected_files) == 7
    finally:
        admin.delete(quotas, 202)


def test_a_rebuild_injects_its_own_files_and_none_of_before(lab: Lab, cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, host="node1", image_ref=str(uuid.uuid4()))
    body = {"rebuild": {"imageRef": lab.image, "personality": [FILE]}}
    demo.post(f"/servers/{server}/action", body, 202, "2.56")
    assert cloud.ledger.bodies[-1]["told"]["injected_files"] == [FILE]
    other = cloud.server(demo, host="node1", image_ref=str(uuid.uuid4()))
    demo.post(f"/servers/{other}/action", {"rebuild": {"imageRef": lab.image}}, 202, "2.96")
    assert cloud.ledger.bodies[-1]["told"]["injected_files"] == []
