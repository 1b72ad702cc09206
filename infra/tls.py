"""A small certificate authority of the cloud, for TLS between its parts: STATE/tls, keys with mode 0600.

Where the operator has an authority of his own he puts its files there (or anywhere, and names them in the settings)."""

import ipaddress
import socket
import ssl
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.credentials import write_private
from infra.settings import Settings

CA_DAYS, DAYS, RENEW_DAYS = 3650, 397, 30
"""A certificate is made anew when it has fewer days than RENEW_DAYS left, or other names are wanted."""


class Authority:
    """Files below `directory`: ca-cert.pem and ca-key.pem; NAME-cert.pem and NAME-key.pem of each certificate."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    @property
    def certificate(self) -> Path:
        return self._directory / "ca-cert.pem"

    def files(self, name: str) -> tuple[Path, Path]:
        """(certificate, key) of `name`, made or not."""
        return self._directory / f"{name}-cert.pem", self._directory / f"{name}-key.pem"

    def ensure(self, name: str, names: Iterable[str]) -> tuple[Path, Path]:
        """A certificate for server and client use under all of `names` (host names, addresses), made where there is
        none that will do. One that another authority signed is left alone."""
        names = sorted(set(names))
        certificate, key = self.files(name)
        if not (certificate.exists() and key.exists() and self._will_do(certificate, names)):
            self._issue(name, names)
        return certificate, key

    def _will_do(self, file: Path, names: list[str]) -> bool:
        known = x509.load_pem_x509_certificate(file.read_bytes())
        if not self.certificate.exists() or known.issuer != self._ca()[0].subject:
            return True
        has = known.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        return set(has) == set(_alternatives(names)) and known.not_valid_after_utc - _now() > timedelta(days=RENEW_DAYS)

    def _ca(self) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
        key_file = self._directory / "ca-key.pem"
        if not key_file.exists():
            self._directory.mkdir(parents=True, exist_ok=True)
            key = ec.generate_private_key(ec.SECP256R1())
            name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Kilonova of {socket.gethostname()}"[:64])])
            usage = x509.KeyUsage(
                digital_signature=True, content_commitment=False, key_encipherment=False, data_encipherment=False,
                key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
            )  # fmt: skip
            made = _unsigned(name, name, key, CA_DAYS).add_extension(
                x509.BasicConstraints(ca=True, path_length=0), True
            )
            made = made.add_extension(usage, critical=True)
            certificate = made.sign(key, hashes.SHA256())
            write_private(key_file, _pem(key))
            _write_public(self.certificate, certificate)
        loaded = serialization.load_pem_private_key(key_file.read_bytes(), None)
        assert isinstance(loaded, ec.EllipticCurvePrivateKey)
        return x509.load_pem_x509_certificate(self.certificate.read_bytes()), loaded

    def _issue(self, name: str, names: list[str]) -> None:
        authority, signer = self._ca()
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64])])
        both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        made = _unsigned(subject, authority.subject, key, DAYS).add_extension(both, critical=False)
        made = made.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        made = made.add_extension(x509.SubjectAlternativeName(_alternatives(names)), critical=False)
        certificate_file, key_file = self.files(name)
        write_private(key_file, _pem(key))
        _write_public(certificate_file, made.sign(signer, hashes.SHA256()))


def prepare(settings: Settings) -> None:
    """What `settings.tls_files` and `settings.trusted` name, made or renewed. With a `tls_dir` of the operator's own
    nothing is made in it. FileNotFoundError when that lacks the server's files."""
    if settings.tls_files is None or settings.trusted is None:
        return
    authority = Authority(settings.tls_place)
    if settings.tls_dir is None:
        local = {"localhost", "127.0.0.1", "::1", socket.gethostname()}
        authority.ensure("server", local | {settings.listen, settings.advertise})
    for file in settings.tls_files:
        if not file.exists():
            raise FileNotFoundError(f"tls_dir lacks {file.name}")
    known = ssl.get_default_verify_paths().cafile
    own = authority.certificate.read_text() if authority.certificate.exists() else ""
    others = Path(known).read_text() if known and known != str(settings.trusted) else ""
    write_private(settings.trusted, own + others)
    settings.trusted.chmod(0o644)


def _unsigned(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, days: int
) -> x509.CertificateBuilder:
    begin = _now() - timedelta(minutes=5)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _alternatives(names: Iterable[str]) -> list[x509.GeneralName]:
    found: list[x509.GeneralName] = []
    for name in names:
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _now() -> datetime:
    return datetime.now(UTC)


def _pem(key: ec.EllipticCurvePrivateKey) -> str:
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key.private_bytes(*form).decode()


def _write_public(file: Path, certificate: x509.Certificate) -> None:
    write_private(file, certificate.public_bytes(serialization.Encoding.PEM).decode())
    file.chmod(0o644)
