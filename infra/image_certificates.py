"""Certificates of images' signatures, from a directory of the operator's: what Glance and hosts ask in place of a
Barbican, by castellan (`backend = kilonova`)."""

import re
from pathlib import Path
from typing import Any

from castellan.common.exception import ManagedObjectNotFoundError
from castellan.common.objects.x_509 import X509
from castellan.key_manager.not_implemented_key_manager import NotImplementedKeyManager
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from oslo_config import cfg

GROUP = "image_certificates"
ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,250}")


class Certificates(NotImplementedKeyManager):
    """`[image_certificates] directory` holds each as ID.pem; "" holds none. They are read anew each time."""

    def __init__(self, configuration: Any) -> None:
        super().__init__(configuration)
        configuration.register_opt(cfg.StrOpt("directory", default=""), group=GROUP)
        self._directory = configuration[GROUP].directory

    def get(self, context: Any, managed_object_id: str, metadata_only: bool = False) -> X509:
        """Raises ManagedObjectNotFoundError for one that is not there, or is none."""
        if not self._directory or not ID.fullmatch(managed_object_id):
            raise ManagedObjectNotFoundError(uuid=managed_object_id)
        try:
            text = (Path(self._directory) / f"{managed_object_id}.pem").read_bytes()
            certificate = x509.load_pem_x509_certificate(text)
        except (OSError, ValueError) as error:
            raise ManagedObjectNotFoundError(uuid=managed_object_id) from error
        return X509(certificate.public_bytes(Encoding.DER))
