"""Backups of one server, beside an image of another tenant's that says that it is one."""

from tests.e2e.cloud import Cloud, Server

NAME = "life-backup-"


class Backups:
    def __init__(self, cloud: Cloud, server: Server) -> None:
        self._cloud, self._server = cloud, server

    def forge(self) -> None:
        """Another tenant's image, which says that it is the newest daily backup, and may be seen by all."""
        cloud, server = self._cloud, self._server
        forged = {"image_type": "backup", "backup_type": "daily", "instance_uuid": server.id}
        about = [word for name, value in forged.items() for word in ("--property", f"{name}={value}")]
        empty = cloud.settings.state_dir / "empty"
        empty.write_bytes(bytes(1 << 20))
        cloud.admin(
            "image", "create", "--disk-format", "raw", "--file", str(empty), "--public", *about, f"{NAME}of-others"
        )

    def ask(self, kind: str, name: str) -> None:
        """Keep two of this kind."""
        asked = ["--name", f"{NAME}{name}", "--type", kind, "--rotate", "2"]
        made = self._cloud.demo("server", "backup", "create", *asked, self._server.name)
        assert made["name"] == f"{NAME}{name}"

    def all(self) -> set[str]:
        """Names of the images that are there, whosever they are."""
        found = [image for image in self._cloud.admin.sdk.image.images() if image.name.startswith(NAME)]
        assert {image.status for image in found} == {"active"}
        return {image.name.removeprefix(NAME) for image in found}

    def clear(self) -> None:
        for name in self.all():
            self._cloud.admin("image", "delete", f"{NAME}{name}")
