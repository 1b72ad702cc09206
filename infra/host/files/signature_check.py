"""Whether an image is what its signature says, by certificates that are trusted. A program of its own, since what it
imports a host needs for nothing else: python -m infra.host.files.signature_check DIRECTORY < JSON

JSON: {"file", "properties", "trusted"}. Exit status 0: it is; 1: it is not, and why is on standard output."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from castellan import key_manager
from cryptography.exceptions import InvalidSignature
from cursive import certificate_utils, signature_utils
from cursive.exception import SignatureVerificationError
from oslo_config import cfg

from infra.image_certificates import GROUP

CHUNK = 1 << 20
PROPERTIES = (
    "img_signature_certificate_uuid",
    "img_signature_hash_method",
    "img_signature",
    "img_signature_key_type",
)


def refusal(directory: str, file: str, properties: Mapping[str, str], trusted: list[str]) -> str:
    """ "" when the signature holds, else why it does not, in Nova's words. `properties`: the image's `img_*`."""
    _configure(directory)
    id = properties.get(PROPERTIES[0])
    try:
        verifier = signature_utils.get_verifier(None, *(properties.get(name) for name in PROPERTIES))
        try:
            certificate_utils.verify_certificate(None, id, trusted)
        except SignatureVerificationError as error:
            return f"Image signature certificate validation failed for certificate: {id}. {error}"
        with Path(file).open("rb") as image:
            while chunk := image.read(CHUNK):
                verifier.update(chunk)
        verifier.verify()
    except SignatureVerificationError as error:
        return str(error)
    except InvalidSignature:
        return "Signature verification for the image failed: its bytes do not match its signature."
    return ""


def _configure(directory: str) -> None:
    conf: Any = cfg.CONF
    conf([], project="kilonova", default_config_files=[])
    conf.register_opts(key_manager.key_manager_opts, group="key_manager")
    conf.register_opt(cfg.StrOpt("directory", default=""), group=GROUP)
    conf.set_override("backend", "kilonova", group="key_manager")
    conf.set_override("directory", directory, group=GROUP)


def main() -> int:
    asked = json.load(sys.stdin)
    found = refusal(sys.argv[1], asked["file"], asked["properties"], asked["trusted"])
    print(found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
