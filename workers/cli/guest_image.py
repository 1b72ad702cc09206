"""The guest image `cirros`: obtained and uploaded once per cloud, by the unmodified client, with its true min_ram."""

import time
from typing import Any

from infra.settings import Settings
from workers.cli.client import Client, ClientFailed
from workers.cli.screen import out
from workers.layout import Layout, host_settings

NAME = "cirros"


def ensure(settings: Settings, layout: Layout, *, lean: bool | None = None) -> Any:
    """The active image `cirros` as openstacksdk sees it, uploaded if there is none; None, with words, if that fails."""
    if "image" not in settings.embedded:
        return None
    admin = Client(settings, "admin", out)
    found = next((i for i in admin.sdk.image.images(name=NAME) if i.status == "active"), None)
    if found is not None:
        return found
    from infra.guest.source import GuestUnavailable, obtain

    begun = time.monotonic()
    try:
        guest = obtain(host_settings(settings, layout, layout.hosts[0]), lean, say=lambda text: out.print(text))
        options = ["--disk-format", guest.disk_format, "--container-format", "bare", "--public"]
        if layout.driver == "qemu" and guest.min_ram_mb:
            options += ["--min-ram", str(guest.min_ram_mb)]
        admin("image", "create", *options, "--file", str(guest.path), NAME)
    except (GuestUnavailable, ClientFailed) as error:
        out.print(f"[yellow]There is no image `{NAME}` yet:[/] {error}", markup=True)
        return None
    out.print(f"Image `{NAME}` ({guest.kind}) is there after {time.monotonic() - begun:.1f} s.")
    return next(iter(admin.sdk.image.images(name=NAME)), None)


def upload(lean: bool | None) -> int:
    """Exit status: 0 when an active image of that name is there."""
    settings = Settings()
    layout = Layout.load(settings.state_dir)
    if layout is None:
        out.print("[red]The cloud is down;[/] `kilonova up` starts it.")
        return 1
    return 0 if ensure(settings, layout, lean=lean) is not None else 1
