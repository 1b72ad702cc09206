"""A guest that is given a volume and a port, and whose kernel hears nothing of devices that come or are to go: as that
of an image without hotplug."""

from tests.e2e.cloud import Cloud, Server

NAME = "life-deaf"
DEAF = "echo disable | sudo tee /sys/firmware/acpi/interrupts/gpe01"
"""QEMU's PCI slots tell the kernel by this event of ACPI's; until its next boot."""


class Deaf:
    """`volume` is of this name."""

    def __init__(self, cloud: Cloud, server: Server, volume: str) -> None:
        self._cloud, self._server, self._volume = cloud, server, volume
        cloud.ssh(server, DEAF)
        self._port = cloud.demo("port", "create", "--network", "provider", NAME)["id"]
        cloud.demo("server", "add", "volume", server.name, NAME)
        cloud.demo("server", "add", "port", server.name, NAME, answers=False)

    def ask_back(self, action: str) -> None:
        what = {"detach_volume": "volume", "detach_interface": "port"}[action]
        self._cloud.demo("server", "remove", what, self._server.name, NAME, answers=False)

    def told(self, action: str) -> str:
        """Why the last action failed, as its owner is told."""
        last = self._cloud.demo("server", "event", "list", "--long", self._server.name)[0]
        shown = self._cloud.admin("server", "event", "show", self._server.id, last["Request ID"])
        assert (last["Action"], shown["message"]) == (action, "Error"), shown
        return str(shown["events"])

    def kept(self) -> bool:
        """Whether the services say that the server has both."""
        sdk, (held,) = self._cloud.demo.sdk, self._cloud.demo("server", "volume", "list", self._server.name)
        volume, port = sdk.block_storage.get_volume(self._volume), sdk.network.get_port(self._port)
        shown = self._cloud.demo("server", "show", self._server.name)
        return (
            (held["Volume ID"], volume.status) == (volume.id, "in-use")
            and (port.device_id, port.status) == (self._server.id, "ACTIVE")
            and port.fixed_ips[0]["ip_address"] in str(shown["addresses"])
        )

    def nics(self) -> int:
        return int(self._cloud.ssh(self._server, "ls /sys/class/net | grep -vc lo"))

    def reboots(self) -> None:
        """By itself: nobody but its kernel is asked."""
        self._cloud.ssh(self._server, "sudo reboot")

    def clear(self) -> None:
        assert self._cloud.demo.sdk.block_storage.get_volume(self._volume).status == "available"
        self._cloud.demo("volume", "delete", NAME)
        self._cloud.demo("port", "delete", NAME)
