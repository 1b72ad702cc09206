"""shelve and unshelve: what reaches the workflows, and where an unshelved server may go."""

import uuid
from typing import Any

import pytest

from infra.tables.compute import Service, now
from tests.compute.conftest import Api, Cloud

OTHER = str(uuid.uuid4())


@pytest.fixture(scope="module", autouse=True)
def places(cloud: Cloud) -> None:
    with cloud.database.write() as session:
        for number, (host, zone) in enumerate((("shelf1", "east"), ("shelf2", "west")), 70):
            about: dict[str, Any] = {"binary": "nova-compute", "host": host, "zone": zone, "last_seen": now()}
            session.add(Service(id=str(uuid.uuid4()), number=number, **about))


def server(cloud: Cloud, user: Api, vm_state: str, **values: Any) -> str:
    about = {"host": None if vm_state == "shelved_offloaded" else "shelf1", "image_ref": str(uuid.uuid4())}
    return cloud.server(user, **{**about, "vm_state": vm_state, **values})


def unshelve(cloud: Cloud, user: Api, server_id: str, wish: Any, version: str = "2.96") -> dict[str, Any]:
    """What the workflow was asked for."""
    user.post(f"/servers/{server_id}/action", {"unshelve": wish}, 202, version)
    assert cloud.ledger.started[-1] == (server_id, "unshelve")
    return dict(cloud.ledger.bodies[-1])


def test_shelve(cloud: Cloud, demo: Api, admin: Api) -> None:
    id = server(cloud, demo, "paused", name="web")
    demo.post(f"/servers/{id}/action", {"shelve": None}, 202, "2.1")
    assert cloud.ledger.bodies[-1] == {"name": "web-shelved", "offload_after_s": 0.0}
    shelved = server(cloud, demo, "shelved")
    assert demo.get(f"/servers/{shelved}")["server"]["status"] == "SHELVED"
    demo.refused("POST", f"/servers/{shelved}/action", 403, json={"shelveOffload": None})
    admin.post(f"/servers/{shelved}/action", {"shelveOffload": None}, 202)
    for name, vm_state in (("shelve", "shelved"), ("shelveOffload", "active"), ("unshelve", "active")):
        id = server(cloud, demo, vm_state)
        words = admin.refused("POST", f"/servers/{id}/action", 409, json={name: None})
        assert words == f"Cannot '{name}' instance {id} while it is in vm_state {vm_state}"


def test_where_an_unshelved_server_goes(cloud: Cloud, demo: Api, admin: Api) -> None:
    id = server(cloud, demo, "shelved_offloaded", pinned_zone="west", scheduler_hints={"different_host": [OTHER]})
    assert demo.get(f"/servers/{id}")["server"]["status"] == "SHELVED_OFFLOADED"
    asked = unshelve(cloud, demo, id, None, "2.1")
    assert asked == {"zone": "west", "host": None, "columns": {}, "same_host": [], "different_host": [OTHER]}
    moved = {"availability_zone": "east", "pinned_zone": "east"}
    asked = unshelve(cloud, demo, id, {"availability_zone": "east"}, "2.77")
    assert (asked["zone"], asked["host"], asked["columns"]) == ("east", None, moved)
    free = {"availability_zone": None, "pinned_zone": None}
    asked = unshelve(cloud, admin, id, {"availability_zone": None, "host": "shelf1"})
    assert (asked["zone"], asked["host"], asked["columns"]) == (None, "shelf1", free)
    assert unshelve(cloud, admin, id, {"host": "shelf2"})["zone"] == "west"


def test_where_it_does_not(cloud: Cloud, demo: Api, admin: Api) -> None:
    id = server(cloud, demo, "shelved_offloaded", pinned_zone="west")
    shelved = server(cloud, demo, "shelved")

    def refused(user: Api, wish: Any, status: int, version: str = "2.96", server_id: str = id) -> str:
        return user.refused("POST", f"/servers/{server_id}/action", status, version, json={"unshelve": wish})

    assert "availability_zone" in refused(demo, {"availability_zone": "east"}, 400, "2.76")
    assert "host" in refused(admin, {"host": "shelf1"}, 400, "2.90")
    assert "availability_zone" in refused(demo, {"availability_zone": None}, 400, "2.90")
    words = "The requested availability zone is not available"
    assert refused(demo, {"availability_zone": "north"}, 400) == words
    refused(demo, {"host": "shelf2"}, 403)
    assert refused(admin, {"host": "shelf9"}, 400) == "Compute host shelf9 could not be found."
    apart = 'Host "shelf1" is not in the availability zone "west".'
    assert refused(admin, {"host": "shelf1"}, 409) == apart
    assert refused(admin, {"host": "shelf1", "availability_zone": "west"}, 409) == apart
    still = refused(demo, {"availability_zone": "east"}, 409, server_id=shelved)
    assert still.endswith("is not supported. The server status must be SHELVED_OFFLOADED.")
