"""Inputs and results of the image steps."""

from pydantic import BaseModel

from infra.contracts.step import Done


class ImageOnHost(BaseModel):
    instance_id: str
    image_id: str
    disk_gb: int  # size of the root disk; 0 keeps the image's own
    trusted: list[str] = []  # certificates by which its signature must hold; with none it is not looked at
    attempt: int = 0  # whose disk it is; 0 removes whichever there is


class DiskOnHost(Done):
    """That the disk is there, or that `spawn` makes it. Where it lies the host derives from the server's id, each
    time."""

    downloaded_bytes: int = 0  # 0 when the image was on the host already
