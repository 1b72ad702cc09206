"""Files that a tenant has injected into a guest (`personality`), as they are told to it."""

from pydantic import BaseModel


class InjectedFile(BaseModel):
    path: str  # in the guest
    contents: str  # base64


def key_of(position: int) -> str:
    """The name of the file's contents below `openstack/content/`. Source: Nova user guide, "Metadata service"."""
    return f"{position:04}"
