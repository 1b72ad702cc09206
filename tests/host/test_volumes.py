"""Volumes against the real volume service and its storage daemon."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pytest
from requests.utils import get_environ_proxies
from temporalio.exceptions import ApplicationError

from infra.contracts.errors import HOPELESS
from infra.contracts.volume import VolumeRequest, VolumesOnHost, parted_id
from infra.host.services import cinder
from infra.host.services.cinder import Volumes
from infra.host.services.rest import Service
from infra.host.services.volumes import VolumeConnector, device_names
from infra.openstack import VOLUME, service_session
from infra.settings import Settings
from infra.transport import Transport
from tests.host.cloud import Cloud, User, new_id, until
from tests.host.glance import Glance
from workers.sign_in import as_host


def quiet(*_: Any) -> None:
    pass


@pytest.fixture
def demo(volumes: Cloud) -> Iterator[User]:
    with volumes.user() as user:
        yield user


@pytest.fixture
def connector(volumes: Cloud, host: Settings) -> VolumeConnector:
    return VolumeConnector(host, volumes.session)


def connector_of(name: str, cloud: Cloud) -> VolumeConnector:
    """Another host's, which signs in as itself."""
    settings = as_host(cloud.settings.model_copy(update={"host": name, "service_username": ""}))
    return VolumeConnector(settings, service_session(settings))


def request(**more: Any) -> VolumeRequest:
    return VolumeRequest(volume_id=new_id(), attachment_id=new_id(), **more)


def wanted(demo: User, *requests: VolumeRequest, **more: Any) -> VolumesOnHost:
    return VolumesOnHost(instance_id=new_id(), project_id=demo.project_id, volumes=list(requests), **more)


def status(demo: User, volume_id: str) -> str:
    found = demo.call("volume", "GET", f"/v3/volumes/{volume_id}")
    return str(found["volume"]["status"]) if found else "gone"


def existing(demo: User) -> str:
    volume_id = str(demo.call("volume", "POST", "/v3/volumes", {"volume": {"size": 1}})["volume"]["id"])
    until(lambda: status(demo, volume_id) == "available")
    return volume_id


def hopeless(connector: VolumeConnector, want: VolumesOnHost) -> str:
    with pytest.raises(ApplicationError) as failure:
        connector.attach(want, quiet)
    assert failure.value.type == HOPELESS
    return failure.value.message


def test_made_and_attached_twice_then_undone_twice(demo: User, connector: VolumeConnector) -> None:
    want = wanted(demo, request(create=True, size_gb=1), request(create=True, size_gb=1, device="/dev/vdf"))
    connected = connector.attach(want, quiet).volumes
    assert [volume.device for volume in connected] == ["vdb", "vdf"]
    assert all(volume.export and volume.socket for volume in connected)
    assert connector.attach(want, quiet).volumes == connected
    volume = demo.call("volume", "GET", f"/v3/volumes/{want.volumes[0].volume_id}")["volume"]
    assert volume["status"] == "in-use" and volume["attachments"][0]["server_id"] == want.instance_id
    for _ in range(2):
        connector.detach(want, quiet)
        until(lambda: all(status(demo, each.volume_id) in ("deleting", "gone") for each in want.volumes))
    until(lambda: all(status(demo, each.volume_id) == "gone" for each in want.volumes))


def test_made_of_a_type(demo: User, connector: VolumeConnector, volumes: Cloud) -> None:
    """Also of one that its project alone may use: the host acts for it."""
    with volumes.user("admin") as admin:
        kind = {"name": new_id(), "os-volume-type-access:is_public": False}
        made = admin.call("volume", "POST", "/v3/types", {"volume_type": kind})["volume_type"]
        access = {"addProjectAccess": {"project": demo.project_id}}
        admin.call("volume", "POST", f"/v3/types/{made['id']}/action", access)
    want = wanted(demo, request(create=True, size_gb=1, volume_type=made["id"]), request(create=True, size_gb=1))
    for _ in range(2):
        connector.attach(want, quiet)
    found = [demo.call("volume", "GET", f"/v3/volumes/{each.volume_id}")["volume"] for each in want.volumes]
    assert found[0]["volume_type"] == kind["name"] != found[1]["volume_type"]
    connector.detach(want, quiet)
    nowhere = wanted(demo, request(create=True, size_gb=1, volume_type=new_id()))
    assert "Volume type" in hopeless(connector, nowhere)


def test_two_servers_take_a_volume_that_they_share_at_once(
    demo: User, connector: VolumeConnector, volumes: Cloud
) -> None:
    kind = {"name": new_id(), "extra_specs": {"multiattach": "<is> True"}}
    with volumes.user("admin") as admin:
        admin.call("volume", "POST", "/v3/types", {"volume_type": kind})
    body = {"volume": {"size": 1, "volume_type": kind["name"]}}
    volume_id = str(demo.call("volume", "POST", "/v3/volumes", body)["volume"]["id"])
    until(lambda: status(demo, volume_id) == "available")
    first, second = (wanted(demo, VolumeRequest(volume_id=volume_id, attachment_id=new_id())) for _ in range(2))
    connector.reserve(first)
    with ThreadPoolExecutor(1) as beside:
        later = beside.submit(connector.attach, second, quiet)
        assert wait([later], 0.5).not_done, "no second server while the first one is being connected"
        connector.attach(first, quiet)
        assert later.result(10).volumes[0].volume_id == volume_id
    for want in (first, second):
        connector.detach(want, quiet)


def test_what_a_delete_leaves(demo: User, connector: VolumeConnector) -> None:
    kept, goes = existing(demo), existing(demo)
    want = wanted(
        demo,
        VolumeRequest(volume_id=kept, attachment_id=new_id()),
        VolumeRequest(volume_id=goes, attachment_id=new_id(), delete_on_termination=True),
        request(create=True, size_gb=1),
    )
    connector.attach(want, quiet)
    connector.detach(want.model_copy(update={"deleting": True}), quiet)
    until(lambda: status(demo, goes) == "gone")
    assert status(demo, kept) == status(demo, want.volumes[2].volume_id) == "available"


@pytest.mark.parametrize("done", [1, 2, 3], ids=["both attachments", "the other one alone", "both again"])
def test_what_was_parting_with_its_host_goes_all_the_same(demo: User, connector: VolumeConnector, done: int) -> None:
    """Mechanism: `Volumes.detach`. A host that fell silent while it parted from a volume left two attachments. Of a
    server that was deleted then the other one kept the volume reserved, for good, and the delete waited ten minutes."""
    own = existing(demo)
    want = wanted(
        demo,
        VolumeRequest(volume_id=own, attachment_id=new_id()),
        request(create=True, size_gb=1, delete_on_termination=True),
        deleting=True,
    )
    connector.attach(want, quiet)
    for volume in want.volumes:
        other = volume.model_copy(update={"attachment_id": parted_id(want.instance_id, volume.volume_id)})
        connector._volumes.reserve(want, other)
        if done > 1:
            connector._volumes._end(volume.attachment_id)
        if done > 2:
            connector._volumes.reserve(want, volume)
    for _ in range(2):
        connector.detach(want, quiet)
    until(lambda: status(demo, want.volumes[1].volume_id) == "gone")
    assert status(demo, own) == "available"


def test_a_failed_build_leaves_the_tenants_volume(demo: User, connector: VolumeConnector) -> None:
    own = VolumeRequest(volume_id=existing(demo), attachment_id=new_id(), delete_on_termination=True)
    want = wanted(demo, own)
    connector.attach(want, quiet)
    connector.detach(want, quiet)
    assert status(demo, own.volume_id) == "available"


def test_gone_in_use_and_in_error_are_hopeless(demo: User, connector: VolumeConnector, glance: Glance) -> None:
    missing = request()
    assert missing.volume_id in hopeless(connector, wanted(demo, missing))
    shared = existing(demo)
    first = wanted(demo, VolumeRequest(volume_id=shared, attachment_id=new_id()))
    connector.attach(first, quiet)
    other = wanted(demo, VolumeRequest(volume_id=shared, attachment_id=new_id()))
    assert "in-use" in hopeless(connector, other)
    connector.detach(other, quiet)
    assert status(demo, shared) == "in-use", "another server's undo took it away"
    connector.detach(first, quiet)
    no_image = wanted(demo, request(create=True, size_gb=1, image_id=new_id()))
    assert hopeless(connector, no_image)
    connector.detach(no_image, quiet)
    until(lambda: status(demo, no_image.volumes[0].volume_id) == "gone")


def test_a_moved_build_keeps_its_attachment(volumes: Cloud, demo: User, host: Settings) -> None:
    here = VolumeConnector(host, volumes.session)
    there = connector_of("other", volumes)
    want = wanted(demo, request(create=True, size_gb=1))
    here.attach(want, quiet)
    there.attach(want, quiet)
    here.detach(want, quiet)
    assert status(demo, want.volumes[0].volume_id) == "in-use", "the first host's late undo took it from the second"
    VolumeConnector(host, volumes.session, fenced=False).detach(want, quiet)
    until(lambda: status(demo, want.volumes[0].volume_id) == "gone")


def test_a_host_with_the_claim_ends_its_attachment_without_another_question(
    volumes: Cloud, demo: User, host: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Mechanism: Volumes.detach. The claim says already that no other host has the volume."""
    connector = VolumeConnector(host, volumes.session, volumes.control)
    want = wanted(demo, VolumeRequest(volume_id=existing(demo), attachment_id=new_id()), attempt=1)
    volumes.claim(want.instance_id)
    connector.attach(want, quiet)
    asked: list[str] = []
    real = Volumes.get

    def counted(self: Volumes, volume_id: str) -> Any:
        asked.append(volume_id)
        return real(self, volume_id)

    monkeypatch.setattr(Volumes, "get", counted)
    connector.detach(want, quiet)
    assert asked == [] and status(demo, want.volumes[0].volume_id) == "available"


def test_a_catalog_is_searched_once(volumes: Cloud, host: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: Service.url. Each request searched it anew, which took longer than the request itself; a new token
    brings a new catalog."""
    api, found = Service(volumes.session, VOLUME, "/v3", host.region), []
    search = volumes.session.get_endpoint

    def counted(**what: Any) -> Any:
        found.append(what)
        return search(**what)

    monkeypatch.setattr(volumes.session, "get_endpoint", counted)
    for _ in range(3):
        api.ask("GET", "/types", 200)
    assert len(found) == 1
    assert volumes.session.invalidate()
    for _ in range(3):
        api.ask("GET", "/types", 200)
    assert len(found) == 2


def test_the_environment_is_looked_at_once_for_each_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Mechanism: Transport.merge_environment_settings. What it says is obeyed as before."""
    monkeypatch.setenv("http_proxy", "http://proxy:3128")
    monkeypatch.setenv("no_proxy", "inside")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/etc/some.pem")
    asked, transport, real = list[str](), Transport(), get_environ_proxies

    def counted(url: str, no_proxy: str | None = None) -> dict[str, str]:
        asked.append(url)
        return real(url, no_proxy=no_proxy)

    monkeypatch.setattr("requests.sessions.get_environ_proxies", counted)
    for path in ("a", "b"):
        outside = transport.merge_environment_settings(f"http://outside/{path}", {}, None, None, None)
        inside = transport.merge_environment_settings(f"http://inside/{path}", {}, None, None, None)
        assert outside["proxies"]["http"] == "http://proxy:3128" and outside["verify"] == "/etc/some.pem"
        assert inside["proxies"] == {}
    assert asked == ["http://outside/a", "http://inside/a"]
    mine = transport.merge_environment_settings("http://outside/c", {"http": "http://mine:1"}, None, False, None)
    assert mine["proxies"]["http"] == "http://mine:1" and mine["verify"] is False


@pytest.mark.parametrize("service", ["ours", "cinder"])
def test_what_an_attachment_and_a_detach_ask(
    volumes: Cloud, demo: User, host: Settings, monkeypatch: pytest.MonkeyPatch, service: str
) -> None:
    """Mechanism: COMPLETE_TOO. Our service completes what it connects; a Cinder passes over the header, and is asked
    to. Each question is a millisecond or more of CPU on both sides."""
    if service == "cinder":
        monkeypatch.setattr(cinder, "CONNECTS", cinder.VERSION)
    connector = VolumeConnector(host, volumes.session, volumes.control)
    want = wanted(demo, VolumeRequest(volume_id=existing(demo), attachment_id=new_id()), attempt=1)
    volumes.claim(want.instance_id)
    asked: list[str] = []
    real = Service.request

    def counted(self: Service, method: str, path: str, **more: Any) -> Any:
        asked.append(f"{method} {path.split('/')[1]}")
        return real(self, method, path, **more)

    monkeypatch.setattr(Service, "request", counted)
    connector.attach(want, quiet)
    completes = ["POST attachments"] if service == "cinder" else []
    assert asked == ["POST attachments", *completes, "GET kilonova"]
    assert status(demo, want.volumes[0].volume_id) == "in-use"
    asked.clear()
    connector.detach(want, quiet, held=1)
    assert asked == ["DELETE attachments"] and status(demo, want.volumes[0].volume_id) == "available"


def test_a_zombie_that_finds_nothing_leaves_nothing(volumes: Cloud, demo: User, host: Settings) -> None:
    """Mechanism: Fence, asked once what takes nothing from anybody is made; it is given back."""
    late = VolumeConnector(host, volumes.session, volumes.control)
    want = wanted(demo, VolumeRequest(volume_id=existing(demo), attachment_id=new_id()), attempt=1)
    volumes.claim(want.instance_id, attempt=2, host="other")
    with pytest.raises(ApplicationError, match="no longer holds the claim"):
        late.attach(want, quiet)
    assert status(demo, want.volumes[0].volume_id) == "available"


def test_a_zombies_late_step_takes_nothing(volumes: Cloud, demo: User, host: Settings) -> None:
    """Mechanism: Fence, asked before an attachment that was there is connected, and after all are."""
    late = VolumeConnector(host, volumes.session, volumes.control)
    next_host = connector_of("other", volumes)
    want = wanted(demo, request(create=True, size_gb=1), attempt=1)
    volume_id = want.volumes[0].volume_id
    volumes.claim(want.instance_id, attempt=2, host="other")
    next_host.attach(want, quiet)
    with pytest.raises(ApplicationError, match="no longer holds the claim"):
        late.attach(want, quiet)
    seen = Service(volumes.session, VOLUME, "/v3", host.region).ask("GET", f"/volumes/{volume_id}", 200)
    volume = seen.json()["volume"]
    assert [each["host_name"] for each in volume["attachments"]] == ["other"] and volume["status"] == "in-use"
    next_host.detach(want, quiet)
    until(lambda: status(demo, volume_id) == "gone")
    volumes.claim(want.instance_id)
    assert late.attach(want, quiet).volumes
    late.detach(want, quiet)
    until(lambda: status(demo, volume_id) == "gone")


def test_a_volume_with_a_snapshot_is_refused_at_once(demo: User, connector: VolumeConnector) -> None:
    """Mechanism: AT_REST of Volumes.delete. Sorted as transient, it held its server in `deleting` for ever."""
    own = VolumeRequest(volume_id=existing(demo), attachment_id=new_id(), delete_on_termination=True)
    wish = {"snapshot": {"volume_id": own.volume_id, "name": "kept"}}
    snapshot = demo.call("volume", "POST", "/v3/snapshots", wish)["snapshot"]["id"]
    until(lambda: demo.call("volume", "GET", f"/v3/snapshots/{snapshot}")["snapshot"]["status"] == "available")
    want = wanted(demo, own, deleting=True)
    connector.attach(want, quiet)
    with pytest.raises(ApplicationError, match="The block-storage service refused") as failure:
        connector.detach(want, quiet)
    assert failure.value.type == HOPELESS
    assert status(demo, own.volume_id) == "available", "it is detached all the same"
    demo.call("volume", "DELETE", f"/v3/snapshots/{snapshot}")


def test_a_volume_that_another_server_has_by_now_is_left(demo: User, connector: VolumeConnector) -> None:
    """Mechanism: `in-use` in Volumes.delete: what this server lost long ago is not its own to delete."""
    shared = existing(demo)
    first = wanted(demo, VolumeRequest(volume_id=shared, attachment_id=new_id(), delete_on_termination=True))
    other = wanted(demo, VolumeRequest(volume_id=shared, attachment_id=new_id()))
    connector.attach(other, quiet)
    connector.detach(first.model_copy(update={"deleting": True}), quiet)
    assert status(demo, shared) == "in-use"
    connector.detach(other, quiet)


def test_an_old_undo_leaves_a_later_attempts_attachment(volumes: Cloud, demo: User, host: Settings) -> None:
    """Mechanism: Fence.superseded. Both attempts are of this host, so that the host's name tells nothing."""
    connector = VolumeConnector(host, volumes.session, volumes.control)
    old = wanted(demo, request(create=True, size_gb=1), attempt=1)
    new = old.model_copy(update={"attempt": 2})
    volumes.claim(old.instance_id, attempt=2)
    connector.attach(new, quiet)
    connector.detach(old, quiet)
    assert status(demo, old.volumes[0].volume_id) == "in-use"
    connector.detach(new, quiet)
    until(lambda: status(demo, old.volumes[0].volume_id) == "gone")


def test_device_names() -> None:
    boot, second, named, clash = request(boot_index=0), request(), request(device="/dev/vdb"), request(device="vdb")
    odd, root = request(device="../sda"), request(device="/dev/vda")
    names = device_names([boot, second, named, clash, odd, root])
    ordered = [names[each.volume_id] for each in (boot, second, named, clash, odd, root)]
    assert ordered == ["vda", "vdc", "vdb", "vdd", "vde", "vdf"]
