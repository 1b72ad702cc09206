"""Servers whose images must be signed by somebody whom their owner trusts (2.63)."""

from collections.abc import Sequence

from api.compute.call import ComputeCall
from api.compute.errors import bad_request

FROM_VOLUME = "Image certificate validation is not supported when booting from volume"
OF_VOLUME = "Image certificate validation is not supported for volume-backed servers."


def trusted_by(call: ComputeCall, named: Sequence[str] | None) -> list[str]:
    """Those that were named, or, as in Nova (`default_trusted_certificate_ids`), the operator's, of one who names
    none."""
    return [*(named or call.settings.default_trusted_certificates)]


def require_signed(
    call: ComputeCall, trusted: Sequence[str] | None, *, local: bool, volume_words: str = FROM_VOLUME
) -> None:
    """400 where signatures are verified by nobody: a volume's, and all where the operator named no certificates."""
    if not trusted:
        return
    if not local:
        raise bad_request(volume_words)
    if call.settings.image_certificates is None:
        raise bad_request("No certificates of images are configured (image_certificates): none can be trusted.")
