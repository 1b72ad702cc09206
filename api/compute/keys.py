"""Key pairs of both types: fingerprints as ssh-keygen and openssl print them, and generation as before 2.92."""

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

UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""Microsoft's user principal name."""
VALID = timedelta(days=3650)


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


def generate_certificate(user_id: str) -> tuple[str, str]:
    """A new key for WinRM, certified by itself, as Nova makes it: (PKCS #12 of both without a password in base64,
    certificate in PEM)."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, user_id[:64])])
    upn, begins = f"{user_id}@localhost".encode(), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begins, begins + VALID)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    as_der = bytes((0x0C, len(upn))) + upn  # UTF8String (X.690); a user's id has 64 characters at most
    names = x509.SubjectAlternativeName([x509.OtherName(UPN, as_der)])
    made = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    both = pkcs12.serialize_key_and_certificates(None, key, made, None, serialization.NoEncryption())
    return base64.b64encode(both).decode(), made.public_bytes(serialization.Encoding.PEM).decode()
