"""What guests tell through the API: their use of the host in both forms, and the password that they chose."""

from datetime import timedelta

from infra.tables.compute import Instance, now
from tests.compute.conftest import Api, Cloud


def test_diagnostics_in_both_forms(cloud: Cloud, admin: Api, demo: Api) -> None:
    server = cloud.server(demo, host="node1", launched_at=now() - timedelta(minutes=2))
    old = admin.get(f"/servers/{server}/diagnostics", version="2.47")
    assert (old["cpu0_time"], old["memory"], old["memory-rss"]) == (9, 524288, 5)
    assert (old["vda_read"], old["vda_read_req"], old["vda_write_req"], old["vda_errors"]) == (1, 2, 4, -1)
    assert (old["tap0_rx"], old["tap0_tx_drop"]) == (7, 7)
    new = admin.get(f"/servers/{server}/diagnostics", version="2.48")
    assert (new["state"], new["driver"], new["hypervisor"]) == ("running", "libvirt", "kvm")
    assert new["memory_details"] == {"maximum": 512, "used": 256}
    assert (new["num_cpus"], new["num_disks"], new["num_nics"]) == (1, 1, 1)
    assert new["disk_details"][0]["errors_count"] is None and new["nic_details"][0]["rx_octets"] == 7
    assert 119 <= new["uptime"] <= 180


def test_diagnostics_are_for_admins_and_of_servers_with_a_host(cloud: Cloud, admin: Api, demo: Api) -> None:
    server = cloud.server(demo, host=None)
    demo.refused("GET", f"/servers/{server}/diagnostics", 403)
    assert admin.refused("GET", f"/servers/{server}/diagnostics", 409) == f"Instance {server} is not ready"


def test_actions_of_the_xen_driver(cloud: Cloud, admin: Api, demo: Api) -> None:
    server = cloud.server(demo, host="node1")
    path = f"/servers/{server}/action"
    demo.refused("POST", path, 403, json={"injectNetworkInfo": None})
    for asker, where in ((admin, path), (demo, path), (demo, "/servers/nothing/action")):
        assert "no longer available" in asker.refused("POST", where, 410, json={"resetNetwork": None})
    admin.post(path, {"injectNetworkInfo": None}, 202)


def test_a_password_is_shown_until_it_is_cleared(cloud: Cloud, demo: Api, other: Api) -> None:
    from infra.codec import KeyRing

    ring = KeyRing.load(cloud.settings.codec_keys)
    server = cloud.server(demo, sealed_password=ring.seal("bG9uZyBlbmNyeXB0ZWQ="))
    path = f"/servers/{server}/os-server-password"
    assert demo.get(path) == {"password": "bG9uZyBlbmNyeXB0ZWQ="}
    other.refused("GET", path, 404)
    other.refused("DELETE", path, 404)
    assert demo.delete(path) is None
    assert demo.get(path) == {"password": ""}
    with cloud.database.read() as session:
        assert session.get_one(Instance, server).sealed_password is None


def test_a_password_whose_key_is_gone_is_none(cloud: Cloud, demo: Api) -> None:
    server = cloud.server(demo, sealed_password="sealed by nobody")
    assert demo.get(f"/servers/{server}/os-server-password") == {"password": ""}
