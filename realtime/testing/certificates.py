"""Certificates of no authority, for tests and demos of WebTransport: browsers and clients take one by its hash.

certificate = realtime.testing.make_certificate(folder)
realtime.setup(app, rt, webtransport=realtime.WebTransport(
    port=0, certificate=certificate.certificate, key=certificate.key))
"""

from __future__ import annotations

import base64
import ipaddress
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from cryptography.x509 import GeneralName

__all__ = ["MadeCertificate", "make_certificate"]

# Browsers take 14 days at the most; a little of that lies in the past, since clocks differ.
LIFE = timedelta(days=13)
PAST = timedelta(hours=1)


class MadeCertificate(NamedTuple):
    """The files of a `certificate` and its `key`, in PEM, and the hash."""

    certificate: Path
    key: Path
    digest: bytes  # the SHA-256 of the certificate

    @property
    def hash(self) -> str:
        """The SHA-256 in base64, as clients are told."""
        return base64.b64encode(self.digest).decode()


def make_certificate(
    folder: str | os.PathLike[str], names: tuple[str, ...] = ("localhost", "127.0.0.1", "::1")
) -> MadeCertificate:
    """Makes one, with a key on the curve P-256, valid for 13 days, for these hosts' names and addresses, in two files
    of `folder`. Raises ImportError without `cryptography`, which aioquic brings."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    me = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    begins = datetime.now(UTC) - PAST
    made = (
        x509.CertificateBuilder()
        .subject_name(me)
        .issuer_name(me)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(begins + LIFE)
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    home = Path(folder)
    certificate, private = home / "certificate.pem", home / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.touch(0o600)
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return MadeCertificate(certificate, private, made.fingerprint(hashes.SHA256()))


def _name(name: str) -> GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
