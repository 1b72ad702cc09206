"""Certificates of images' signatures, and images that are signed by them."""

import base64
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
USES = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign")


@dataclass(frozen=True)
class Signer:
    """A certificate that lies in a directory as ID.pem, and its key."""

    id: str
    certificate: x509.Certificate
    key: Key

    def signature(self, data: bytes) -> dict[str, str]:
        """Properties of an image. Source: OpenStack Security Guide, "Image signature verification"."""
        if isinstance(self.key, rsa.RSAPrivateKey):
            pss = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.MAX_LENGTH)
            name, kind, signed = "SHA-256", "RSA-PSS", self.key.sign(data, pss, hashes.SHA256())
        else:
            name, kind, signed = "SHA-512", "ECC_SECP384R1", self.key.sign(data, ec.ECDSA(hashes.SHA512()))
        return {
            "img_signature": base64.b64encode(signed).decode(),
            "img_signature_hash_method": name,
            "img_signature_key_type": kind,
            "img_signature_certificate_uuid": self.id,
        }


def signer(directory: Path, issuer: Signer | None = None, *, days: int = 1, curve: bool = False) -> Signer:
    """Without an issuer it signs itself, and others. `days` that it is valid from yesterday on; 0: no more."""
    id, now = str(uuid.uuid4()), datetime.now(UTC)
    key: Key = ec.generate_private_key(ec.SECP384R1()) if curve else rsa.generate_private_key(65537, 2048)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, id)])
    uses = dict.fromkeys((*USES, "encipher_only", "decipher_only"), False)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now - timedelta(hours=1) + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.KeyUsage(digital_signature=True, key_cert_sign=issuer is None, **uses), critical=True)
        .sign(issuer.key if issuer else key, hashes.SHA256())
    )
    (directory / f"{id}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    return Signer(id, certificate, key)
