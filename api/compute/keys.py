"""SSH key pairs: fingerprints as ssh-keygen prints them, and generation for clients that still ask for it."""

import base64
import binascii
import hashlib

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from api.compute.errors import bad_request


def _colons(digest: bytes) -> str:
    return digest.hex(":")


def ssh_fingerprint(public_key: str) -> str:
    """MD5 of the key in `aa:bb:…` form (RFC 4716 section 4); 400 for what is no OpenSSH public key."""
    try:
        parts = public_key.split()
        try:
            serialization.load_ssh_public_key(public_key.encode())
        except UnsupportedAlgorithm:
            if not parts[0].startswith("sk-"):  # hardware keys have no class here, but are keys
                raise
        return _colons(hashlib.md5(base64.b64decode(parts[1]), usedforsecurity=False).digest())
    except (ValueError, IndexError, UnsupportedAlgorithm, UnicodeError) as error:
        raise bad_request("Keypair data is invalid: failed to generate fingerprint") from error


def x509_fingerprint(certificate: str) -> str:
    try:
        digest = x509.load_pem_x509_certificate(certificate.encode()).fingerprint(hashes.SHA1())  # noqa: S303
    except (ValueError, TypeError, binascii.Error) as error:
        raise bad_request("Keypair data is invalid: failed to generate X509 fingerprint.") from error
    return _colons(digest)


def generate() -> tuple[str, str]:
    """A new RSA key: (private key in PEM, public key in OpenSSH's form)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} Generated-by-Kilonova"
