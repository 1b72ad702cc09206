"""What is done in Horizon, as a tenant and as an operator: each method is one thing that is shown."""

from pathlib import Path
from typing import Any

from infra import credentials
from tests.e2e.cloud import Cloud, wait_for
from tests.horizon.dashboard import Dashboard
from tests.screenshots.browser import Browser
from workers import horizon
from workers.cli.demo_objects import FLAVOR, KEY_NAME

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
INSTANCES = "/project/instances/"


class Tour:
    def __init__(self, cloud: Cloud, browser: Browser) -> None:
        self._cloud, self._server = cloud, ""
        self._page = Dashboard(browser, horizon.address(cloud.settings))

    def a_tenant_signs_in(self) -> str:
        self._sign_in("demo")
        return "and sees the overview"

    def launches_an_instance_from_an_image(self) -> str:
        body = self._wanted("web") | {"source_id": self._image(), "availability_zone": "nova", "config_drive": False}
        self._server = self._page.post("/api/nova/servers/", body)["id"]
        self._until("ACTIVE")
        return "ACTIVE, with a key pair and a network"

    def launches_another_from_a_volume(self) -> str:
        volume = self._page.post("/api/cinder/volumes/", _volume(self._image()))
        there = f"/api/cinder/volumes/{volume['id']}"
        wait_for(lambda: self._page.get(there)["status"] == "available", 120, "the volume")
        first = {"source_type": "volume", "destination_type": "volume", "uuid": volume["id"], "boot_index": "0"}
        disk = {"block_device_mapping_v2": [first | {"delete_on_termination": True}], "source_id": ""}
        body = self._wanted("from-volume") | disk
        other = self._page.post("/api/nova/servers/", body)["id"]
        self._until("ACTIVE", other)
        self._page.act("instances", INSTANCES, "delete", other)
        wait_for(lambda: not self._is_there(other), 90, "it is deleted")
        return "ACTIVE; deleted"

    def opens_the_instance_with_all_its_tabs(self) -> str:
        for tab in ("overview", "interfaces", "log", "console", "audit"):
            text = self._page.open(f"{INSTANCES}{self._server}/?tab=instance_details__{tab}")
            assert "web" in text, tab
        assert "create" in text.lower(), text  # the action log
        return "overview, interfaces, log, console, action log"

    def sees_the_screen_on_the_console_tab(self) -> str:
        self._page.open(f"{INSTANCES}{self._server}/?tab=instance_details__console")
        self._page.browser.wait("!!document.querySelector('iframe#console_embed')")
        self._page.go(f"{INSTANCES}{self._server}/vnc")  # the frame has used up its own token
        self._page.browser.wait("document.querySelector('canvas')?.width >= 640", 60)
        return "noVNC draws it"

    def stops_and_starts_it(self) -> str:
        self._page.act("instances", INSTANCES, "stop", self._server)
        self._until("SHUTOFF")
        self._page.act("instances", INSTANCES, "start", self._server)
        self._until("ACTIVE")
        return "SHUTOFF, ACTIVE"

    def opens_every_page_of_his(self) -> str:
        return self._every(("/project/", "/identity/"))

    def draws_the_topology(self) -> str:
        found = self._page.get("/project/network_topology/json")
        assert [server["name"] for server in found["servers"]] == ["web"], found
        return "with the instance"

    def takes_the_tenants_pictures(self) -> str:
        for name, path in (("horizon-overview", "/project/"), ("horizon-instances", INSTANCES)):
            self._page.open(path)
            self._page.picture(PICTURES / f"{name}.png")
            assert (PICTURES / f"{name}.png").stat().st_size < 200_000
        return "overview, instances"

    def an_operator_signs_in(self) -> str:
        self._page.sign_out()
        self._sign_in("admin")
        return "and sees the overview"

    def opens_every_page_of_the_operators(self) -> str:
        return self._every(("/admin/", "/identity/"))

    def finds_host_and_services(self) -> str:
        assert "node1" in self._page.open("/admin/hypervisors/")
        assert "nova-compute" in self._page.open("/admin/info/?tab=system_info__nova_services")
        assert "cinder" in self._page.open("/admin/info/?tab=system_info__cinder_services")
        return "hypervisors, compute and volume services"

    def deletes_the_instance(self) -> str:
        self._page.sign_out()
        self._sign_in("demo")
        self._page.act("instances", INSTANCES, "delete", self._server)
        wait_for(lambda: not self._is_there(self._server), 90, "it is deleted")
        return "gone"

    def _sign_in(self, user: str) -> None:
        self._page.sign_in(user, credentials.load(self._cloud.settings.state_dir)[user])

    def _every(self, prefixes: tuple[str, ...]) -> str:
        self._page.open("/identity/")
        paths = [path for path in self._page.panels() if path.startswith(prefixes)]
        assert len(paths) > 8, paths
        faults = []
        for path in paths:
            try:
                self._page.open(path)
            except AssertionError as error:
                faults.append(str(error))
        assert not faults, "\n".join(faults)
        return f"{len(paths)} pages"

    def _until(self, status: str, id: str = "") -> None:
        wait_for(lambda: self._cloud.status(id or self._server) in (status, "ERROR"), 150, status, 1)
        assert self._cloud.status(id or self._server) == status

    def _is_there(self, id: str) -> bool:
        return any(server.id == id for server in self._cloud.demo.sdk.compute.servers(details=False))

    def _wanted(self, name: str) -> dict[str, Any]:
        """What the launch wizard sends of every source."""
        return {
            "name": name, "key_name": KEY_NAME, "user_data": "", "instance_count": 1, "flavor_id": self._flavor(),
            "security_groups": ["default"], "nics": [{"net-id": self._network(), "v4-fixed-ip": ""}],
        }  # fmt: skip

    def _flavor(self) -> str:
        found = self._page.get("/api/nova/flavors/")["items"]
        return str(next(flavor["id"] for flavor in found if flavor["name"].startswith(FLAVOR)))

    def _image(self) -> str:
        return str(next(i["id"] for i in self._page.get("/api/glance/images/")["items"] if i["name"] == "cirros"))

    def _network(self) -> str:
        found = self._page.get("/api/neutron/networks/")["items"]
        return str(next(network["id"] for network in found if network["name"] == "provider"))


def _volume(image: str) -> dict[str, Any]:
    return {
        "name": "disk", "description": "", "size": 1, "volume_type": "", "snapshot_id": None, "metadata": {},
        "image_id": image, "availability_zone": None, "source_volid": None,
    }  # fmt: skip
