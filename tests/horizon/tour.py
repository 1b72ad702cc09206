"""What is done in Horizon, as an operator and as a tenant: each method is one thing that is shown."""

from pathlib import Path

from infra import credentials
from tests.e2e.cloud import Cloud, wait_for
from tests.horizon.dashboard import Dashboard
from tests.horizon.wizard import Wizard
from tests.screenshots.browser import Browser
from workers import horizon
from workers.cli.demo_objects import FLAVOR, KEY_NAME

PICTURES = Path(__file__).resolve().parents[2] / "docs" / "pictures"
LARGEST = 200_000
INSTANCES, VOLUMES, NETWORKS = "/project/instances/", "/project/volumes/", "/project/networks/"
TABS = ("overview", "interfaces", "log", "console", "audit")
LARGER, DISK, PRIVATE = "horizon.larger", "horizon-disk", "horizon-private"
DRAWN = "[...document.querySelectorAll('svg text')].map(text => text.textContent).join(' ')"


class Tour:
    def __init__(self, cloud: Cloud, browser: Browser) -> None:
        self._cloud, self._sdk, self._server = cloud, cloud.demo.sdk, ""
        self._page = Dashboard(browser, horizon.address(cloud.settings))

    def an_operator_signs_in(self) -> str:
        self._sign_in("admin")
        return "and sees the overview"

    def makes_a_flavor(self) -> str:
        size = {"vcpus": "1", "memory_mb": "96", "disk_gb": "1", "eph_gb": "0", "swap_mb": "0"}
        self._page.fill("/admin/flavors/create/", name=LARGER, flavor_id="auto", **size)
        assert LARGER in self._page.open("/admin/flavors/")
        return "it is listed"

    def opens_every_page_of_the_operators(self) -> str:
        return self._every(("/admin/", "/identity/"))

    def finds_host_and_services(self) -> str:
        assert "node1" in self._page.open("/admin/hypervisors/?tab=hypervisor_info__provider")  # of Placement
        assert "node1" in self._page.open("/admin/hypervisors/?tab=hypervisor_info__compute_host")
        assert "node1" in self._page.open("/admin/hypervisors/")
        self._picture("hypervisors")
        assert "nova-compute" in self._page.open("/admin/info/?tab=system_info__nova_services")
        assert "cinder" in self._page.open("/admin/info/?tab=system_info__cinder_services")
        assert "node1" in self._page.open("/admin/info/?tab=system_info__network_agents")
        return "hypervisors; services of compute and volumes, network agents"

    def a_tenant_signs_in(self) -> str:
        self._page.sign_out()
        self._sign_in("demo")
        return "and sees the overview"

    def makes_a_network(self) -> str:
        self._page.fill(
            f"{NETWORKS}create", net_name=PRIVATE, subnet_name=f"{PRIVATE}-subnet", cidr="10.99.0.0/24", ip_version="4"
        )
        assert PRIVATE in self._page.open(NETWORKS)
        return "with a subnet; it is listed"

    def launches_an_instance_from_an_image(self) -> str:
        self._server = self._launched("horizon-web", "Image", "cirros", PICTURES / "horizon-launch.png")
        return "ACTIVE, with a key pair and a network"

    def launches_another_from_a_volume(self) -> str:
        image = next(image.id for image in self._sdk.image.images() if image.name == "cirros")
        self._page.fill(f"{VOLUMES}create/", name=DISK, volume_source_type="image_source", image_source=image, size="1")
        volume = next(self._sdk.block_storage.volumes(name=DISK)).id
        wait_for(lambda: self._sdk.block_storage.get_volume(volume).status == "available", 120, "the volume", 1)
        other = self._launched("horizon-from-volume", "Volume", DISK)
        self._delete("instances", INSTANCES, other)
        wait_for(lambda: self._sdk.block_storage.get_volume(volume).status == "available", 60, "it is free again", 1)
        self._delete("volumes", VOLUMES, volume)
        return "ACTIVE; both deleted"

    def opens_the_instance_with_all_its_tabs(self) -> str:
        for tab in TABS:
            text = self._page.open(f"{INSTANCES}{self._server}/?tab=instance_details__{tab}")
            assert "horizon-web" in text, tab
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

    def resizes_it(self) -> str:
        flavor = next(flavor.id for flavor in self._sdk.compute.flavors() if flavor.name == LARGER)
        self._page.fill(f"{INSTANCES}{self._server}/resize", flavor=flavor, disk_config="AUTO")
        self._until("VERIFY_RESIZE")
        self._page.act("instances", INSTANCES, "confirm", self._server)
        self._until("ACTIVE")
        assert LARGER in self._page.open(INSTANCES)
        return "confirmed; it has the new flavor"

    def opens_every_page_of_his(self) -> str:
        return self._every(("/project/", "/identity/"))

    def draws_the_topology(self) -> str:
        self._page.open("/project/network_topology/")
        self._page.browser.wait(f"{DRAWN}.includes('horizon-web') && {DRAWN}.includes('{PRIVATE}')")
        self._picture("topology")
        return "the instance and the networks"

    def sees_his_usage(self) -> str:
        text = " ".join(self._page.open("/project/").split())
        assert "horizon-web" in text and "Active RAM: 96MB" in text, text
        self._picture("overview")
        self._page.open(INSTANCES)
        self._picture("instances")
        return "of the instance, in the overview"

    def deletes_what_he_made(self) -> str:
        self._delete("instances", INSTANCES, self._server)
        self._delete("networks", NETWORKS, next(self._sdk.network.networks(name=PRIVATE)).id)
        return "instance and network are gone"

    def the_operator_deletes_the_flavor(self) -> str:
        flavor = next(flavor.id for flavor in self._sdk.compute.flavors() if flavor.name == LARGER)
        self._page.sign_out()
        self._sign_in("admin")
        self._delete("flavors", "/admin/flavors/", flavor)
        return "gone"

    def _sign_in(self, user: str) -> None:
        self._page.sign_in(user, credentials.load(self._cloud.settings.state_dir)[user])

    def _launched(self, name: str, kind: str, source: str, picture: Path | None = None) -> str:
        wizard = Wizard(self._page, INSTANCES)
        wizard.name(name)
        wizard.take("Flavor", FLAVOR)
        wizard.take("Networks", "provider")
        wizard.take("Key Pair", KEY_NAME)
        wizard.source(kind, source)
        wizard.launch(picture)
        server = wait_for(lambda: self._found(name), 30, f"{name} is there")
        self._until("ACTIVE", server)
        return str(server)

    def _found(self, name: str) -> str:
        return next((server.id for server in self._sdk.compute.servers(details=False) if server.name == name), "")

    def _delete(self, table: str, path: str, id: str) -> None:
        """By the button of its row; until it is no longer listed."""
        self._page.act(table, path, "delete", id)
        row = f"!document.querySelector('tr[data-object-id=\"{id}\"]')"

        def gone() -> bool:
            self._page.open(path)
            return self._page.browser.run(row) is True

        wait_for(gone, 90, f"{id} is gone from {path}", 1)

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

    def _picture(self, name: str) -> None:
        file = PICTURES / f"horizon-{name}.png"
        self._page.picture(file)
        assert file.stat().st_size < LARGEST, file
