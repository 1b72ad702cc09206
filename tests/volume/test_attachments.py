"""Attachments: one owner at a time, real bytes over NBD, and nothing lost when a process is killed."""

import concurrent.futures
import signal
import uuid

from infra.contracts.volume import COMPLETE_TOO
from tests.volume.cloud import Cloud, io, nbd_url, until


def test_bytes_survive_detach_attach_and_a_killed_daemon(cloud: Cloud) -> None:
    volume = cloud.volume(name="data")
    first = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    assert first["connection_info"]["driver_volume_type"] == "nbd"
    assert cloud.status(volume) == "in-use"
    url = nbd_url(first["connection_info"]["data"])
    assert io(url, "write -P 0x5a 1M 3M", "flush")

    cloud.kill("nbd")
    assert not io(url, "read 0 4k")
    cloud.start("nbd")
    assert until(lambda: io(url, "read -P 0x5a 1M 3M"), 8), "the export comes back by itself, under the same name"
    assert io(url, "write -P 0x5b 8M 1M", "flush")

    cloud.ok("DELETE", f"/attachments/{first['id']}", user="nova")
    assert cloud.status(volume) == "available"
    assert not io(url, "read 0 4k"), "the old name is worth nothing after the detach"
    second = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    assert second["connection_info"]["export"] != first["connection_info"]["export"]
    assert io(nbd_url(second["connection_info"]), "read -P 0x5a 1M 3M", "read -P 0x5b 8M 1M")
    cloud.ok("DELETE", f"/attachments/{second['id']}", user="nova")
    cloud.delete(volume)


def test_of_two_attachments_at_once_exactly_one_wins(cloud: Cloud) -> None:
    volume = cloud.volume()

    def reserve(_: int) -> int:
        body = {"attachment": {"volume_uuid": volume, "instance_uuid": str(uuid.uuid4())}}
        return int(cloud.call("POST", "/attachments", body, user="nova").status_code)

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(reserve, range(8))) == [200] + [400] * 7
    assert cloud.status(volume) == "reserved"


def test_second_server_is_refused_in_cinders_words(cloud: Cloud) -> None:
    volume = cloud.volume()
    server = str(uuid.uuid4())
    cloud.attach(volume, instance_uuid=server)
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": str(uuid.uuid4())}}
    answer = cloud.call("POST", "/attachments", body, user="nova")
    assert answer.status_code == 400
    assert answer.json()["badRequest"]["message"].startswith("Invalid volume: ")
    body["attachment"]["instance_uuid"] = server
    assert cloud.call("POST", "/attachments", body, user="nova").status_code == 200, "a server that moves has two"
    assert cloud.status(volume) == "in-use"


def test_chosen_id_makes_a_repeat_detectable(cloud: Cloud) -> None:
    volume, chosen = cloud.volume(), str(uuid.uuid4())
    body = {"attachment": {"id": chosen, "volume_uuid": volume, "instance_uuid": str(uuid.uuid4())}}
    assert cloud.call("POST", "/attachments", body).status_code == 403, "tenants do not choose ids"
    assert cloud.ok("POST", "/attachments", body, user="nova")["attachment"]["id"] == chosen
    assert cloud.call("POST", "/attachments", body, user="nova").status_code == 409
    path = f"/attachments/{chosen}"
    update = {"attachment": {"connector": {"host": "a"}}}
    names = {cloud.ok("PUT", path, update, user="nova")["attachment"]["connection_info"]["export"] for _ in range(2)}
    assert len(names) == 1
    for _ in range(2):
        assert cloud.call("POST", f"{path}/action", {"os-complete": {}}, user="nova").status_code == 204
    assert cloud.ok("DELETE", path, user="nova") == {"attachments": []}
    assert cloud.call("DELETE", path, user="nova").status_code == 404


def test_what_is_connected_is_complete_by_the_same_request_for_services_only(cloud: Cloud) -> None:
    """Mechanism: `completes`. The header is our own: a Cinder passes over it."""
    volume, server = cloud.volume(), str(uuid.uuid4())
    body = {"attachment": {"volume_uuid": volume, "instance_uuid": server, "connector": {"host": "a"}}}
    for user, state in (("demo", "attaching"), ("nova", "attached")):
        made = cloud.ok("POST", "/attachments", body, user=user, headers={COMPLETE_TOO: "true"})["attachment"]
        assert made["status"] == state and bool(made["attached_at"]) == (state == "attached")
        cloud.ok("DELETE", f"/attachments/{made['id']}", user="nova")
    reserved = {"attachment": {"volume_uuid": volume, "instance_uuid": server}}
    path = f"/attachments/{cloud.ok('POST', '/attachments', reserved, user='nova')['attachment']['id']}"
    update = {"attachment": {"connector": {"host": "a"}}}
    assert cloud.ok("PUT", path, update, user="nova")["attachment"]["status"] == "attaching"
    connected = cloud.ok("PUT", path, update, user="nova", headers={COMPLETE_TOO: "true"})["attachment"]
    assert connected["status"] == "attached"
    assert cloud.status(volume) == "in-use"
    cloud.ok("DELETE", path, user="nova")


def test_a_volume_is_in_use_without_a_host(cloud: Cloud) -> None:
    """As in Cinder, by which Nova attaches to a server that has left its host; a host that comes gets it exported."""
    volume, server = cloud.volume(), str(uuid.uuid4())
    reserved = {"attachment": {"volume_uuid": volume, "instance_uuid": server}}
    path = f"/attachments/{cloud.ok('POST', '/attachments', reserved, user='nova')['attachment']['id']}"
    for _ in range(2):
        cloud.ok("POST", f"{path}/action", {"os-complete": {}}, user="nova")
    assert cloud.status(volume) == "in-use"
    assert cloud.ok("GET", path, user="nova")["attachment"]["connection_info"] == {}
    connected = cloud.ok("PUT", path, {"attachment": {"connector": {"host": "a"}}}, user="nova")["attachment"]
    assert connected["status"] == "attached" and io(nbd_url(connected["connection_info"]), "read 0 4k")
    cloud.ok("DELETE", path, user="nova")
    assert cloud.status(volume) == "available"


def test_a_host_that_lost_the_volume_is_cut_off(cloud: Cloud) -> None:
    volume = cloud.volume()
    old = cloud.attach(volume, "host1", instance_uuid=str(uuid.uuid4()))
    update = {"attachment": {"connector": {"host": "host2"}}}
    new = cloud.ok("PUT", f"/attachments/{old['id']}", update, user="nova")["attachment"]
    assert io(nbd_url(new["connection_info"]), "write -P 1 0 64k")
    assert not io(nbd_url(old["connection_info"]), "write -P 2 0 64k")
    seen = {
        user: cloud.ok("GET", f"/volumes/{volume}", user=user)["volume"]["attachments"] for user in ("demo", "nova")
    }
    assert [a["host_name"] for a in seen["nova"]] == ["host2"]
    assert [a["host_name"] for a in seen["demo"]] == [None], "a tenant is not told where its volume is used"


def test_servers_attachments_are_not_for_tenants(cloud: Cloud) -> None:
    volume = cloud.volume()
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    path = f"/attachments/{attachment['id']}"
    assert cloud.ok("GET", path)["attachment"]["connection_info"] == {}
    assert attachment["connection_info"]["export"] not in cloud.call("GET", f"/volumes/{volume}").text
    refused = cloud.call("DELETE", path)
    assert refused.status_code == 409
    assert "Compute API" in refused.json()["conflictingRequest"]["message"]
    assert cloud.call("PUT", path, {"attachment": {"connector": {"host": "x"}}}).status_code == 409
    assert cloud.status(volume) == "in-use"


def test_attached_volume_is_not_deleted_nor_extended(cloud: Cloud) -> None:
    volume = cloud.volume()
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    refused = cloud.call("DELETE", f"/volumes/{volume}")
    assert refused.status_code == 400
    assert refused.json()["badRequest"]["message"].startswith("Invalid volume: Volume status must be available")
    assert cloud.call("POST", f"/volumes/{volume}/action", {"os-force_delete": {}}, user="admin").status_code == 400
    extend = {"os-extend": {"new_size": 2}}
    assert cloud.call("POST", f"/volumes/{volume}/action", extend, version="3.41").status_code == 400
    assert io(nbd_url(attachment["connection_info"]), "read 0 4k")


def test_read_only_attachment(cloud: Cloud) -> None:
    volume = cloud.volume()
    cloud.ok("POST", f"/volumes/{volume}/action", {"os-update_readonly_flag": {"readonly": True}})
    body = {"attachment": {"volume_uuid": volume, "mode": "rw"}}
    assert cloud.call("POST", "/attachments", body, user="nova").status_code == 400
    attachment = cloud.attach(volume)
    assert attachment["attach_mode"] == "ro"
    url = nbd_url(attachment["connection_info"])
    assert io(url, "read 0 4k", read_only=True)
    assert not io(url, "write 0 4k")


def test_detach_with_the_daemon_down(cloud: Cloud) -> None:
    volume = cloud.volume()
    attachment = cloud.attach(volume, instance_uuid=str(uuid.uuid4()))
    cloud.kill("nbd")
    cloud.ok("DELETE", f"/attachments/{attachment['id']}", user="nova")
    assert cloud.status(volume) == "available"
    cloud.start("nbd")
    assert not io(nbd_url(attachment["connection_info"]), "read 0 4k")


def test_attach_waits_for_a_daemon_that_restarts_and_says_503_without(cloud: Cloud) -> None:
    volume = cloud.volume()
    cloud.kill("nbd")
    body = {"attachment": {"volume_uuid": volume, "connector": {"host": "h"}, "id": str(uuid.uuid4())}}
    answer = cloud.call("POST", "/attachments", body, user="nova")
    assert answer.status_code == 503 and "serviceUnavailable" in answer.json()
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        update = {"attachment": {"connector": {"host": "h"}}}
        repeat = pool.submit(cloud.ok, "PUT", f"/attachments/{body['attachment']['id']}", update, user="nova")
        cloud.start("nbd")
        connection = repeat.result()["attachment"]["connection_info"]
    assert io(nbd_url(connection), "read 0 4k")


def test_a_killed_service_keeps_exports_and_ends_those_of_half_detached(cloud: Cloud) -> None:
    kept, leaving = cloud.volume(), cloud.volume()
    stays = cloud.attach(kept, instance_uuid=str(uuid.uuid4()))
    goes = cloud.attach(leaving, instance_uuid=str(uuid.uuid4()))
    nbd = cloud.processes["nbd"]
    nbd.send_signal(signal.SIGSTOP)  # the detach cannot finish
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(cloud.call, "DELETE", f"/attachments/{goes['id']}", user="nova")
        until(lambda: cloud.status(leaving) == "detaching")
        cloud.kill("volume")
        nbd.send_signal(signal.SIGCONT)
    cloud.start("volume")
    until(lambda: cloud.status(leaving) == "available")
    assert not io(nbd_url(goes["connection_info"]), "read 0 4k")
    assert io(nbd_url(stays["connection_info"]), "read 0 4k")
