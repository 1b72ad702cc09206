"""SSH key pairs: fingerprints as ssh-keygen prints them, and generation for clients that still ask for it."""

import base64
import binascii
import hashlib
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from api.compute.errors import bad_request

PRINCIPAL_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
TEN_YEARS = timedelta(days=3650)


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


def generate_x509(user_id: str) -> tuple[str, str]:
    """A new key with a client's certificate for Windows' remote management: (PKCS #12 without a password, in base64,
    certificate in PEM), good for ten years. Source: Nova's generate_winrm_x509_cert."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id)])
    upn = f"{user_id}@localhost".encode()
    principal = x509.OtherName(PRINCIPAL_NAME, bytes((0x0C, len(upn))) + upn)  # a DER UTF8String
    begin = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin, begin + TEN_YEARS)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([principal]), critical=False)
        .sign(key, hashes.SHA256())
    )
    kept = pkcs12.serialize_key_and_certificates(None, key, certificate, None, serialization.NoEncryption())
    return base64.b64encode(kept).decode(), certificate.public_bytes(serialization.Encoding.PEM).decode()


def generate() -> tuple[str, str]:
    """A new RSA key: (private key in PEM, public key in OpenSSH's form)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=3072)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return private.decode(), f"{public.decode()} Generated-by-Kilonova"
