"""The certificate of a UDP port, read again when its files change, and its hash where browsers go by that.

A browser takes a certificate of no authority if the page names its SHA-256, its key is one on the curve P-256, and it
is valid for 14 days at the most (W3C WebTransport, custom certificate requirements).
"""

from __future__ import annotations

import hashlib
import hmac
import os
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from aioquic.tls import load_pem_private_key, load_pem_x509_certificates
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from ..core.errors import LocalProtocolError

__all__ = ["Certificates", "Loaded"]

LONGEST = timedelta(days=14)
# The keys that aioquic signs a handshake with: on these curves, and of these kinds.
SIGNING = (ec.SECP256R1, ec.SECP384R1, rsa.RSAPrivateKey, ed25519.Ed25519PrivateKey, ed448.Ed448PrivateKey)


class Loaded(NamedTuple):
    """What was read."""

    certificate: Any
    chain: list[Any]
    key: Any
    digest: bytes | None  # the SHA-256 of a certificate that is its own authority, and that browsers take by its hash


class Certificates:
    """The files of a certificate and its key. Raises LocalProtocolError for what is none."""

    def __init__(self, certificate: str | os.PathLike[str], key: str | os.PathLike[str]) -> None:
        self._certificate, self._key = Path(certificate), Path(key)
        self._stamps = self._look()
        self.loaded: Loaded = self._load()
        # For telling clients that their connection is forgotten: the same in every process that has the key's file.
        self.reset_key: bytes = _reset_key(self.loaded.key)

    def refresh(self) -> None:
        """Reads the files if they are others than before. What cannot be read changes nothing: one of the two may not
        have been written yet."""
        try:
            stamps = self._look()
            if stamps != self._stamps:
                self.loaded = self._load()
                self._stamps = stamps
        except LocalProtocolError:
            return

    def _look(self) -> list[tuple[int, int, int]]:
        found = []
        for name, path in (("certificate", self._certificate), ("key", self._key)):
            try:
                status = path.stat()
            except (OSError, ValueError) as error:  # a NUL is in no path
                raise LocalProtocolError(f"WebTransport: the {name} {str(path)!r} cannot be read: {error}") from None
            found.append((status.st_mtime_ns, status.st_size, status.st_ino))
        return found

    def _load(self) -> Loaded:
        try:
            chain = load_pem_x509_certificates(self._certificate.read_bytes())
            key = load_pem_private_key(self._key.read_bytes())
            certificate = chain[0]
            certificate.public_key()
        except (OSError, ValueError, TypeError, IndexError, UnsupportedAlgorithm) as error:
            raise LocalProtocolError(
                f"WebTransport: {str(self._certificate)!r} and {str(self._key)!r} are no certificate and its key, in"
                f" PEM and without a password: {error}"
            ) from None
        if not isinstance(key.curve if isinstance(key, ec.EllipticCurvePrivateKey) else key, SIGNING):
            raise LocalProtocolError(
                f"WebTransport: nothing can be signed with the key {str(self._key)!r}: it takes one on P-256 or P-384,"
                " Ed25519, Ed448 or RSA"
            )
        form = Encoding.DER, PublicFormat.SubjectPublicKeyInfo
        if certificate.public_key().public_bytes(*form) != key.public_key().public_bytes(*form):
            raise LocalProtocolError(
                f"WebTransport: the key {str(self._key)!r} is not that of the certificate {str(self._certificate)!r}"
            )
        return Loaded(certificate, chain[1:], key, _digest(certificate))


def _reset_key(key: Any) -> bytes:
    private: bytes = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    return hmac.digest(private, b"realtime: stateless reset", hashlib.sha256)


def _digest(certificate: Any) -> bytes | None:
    key = certificate.public_key()
    lives = certificate.not_valid_after_utc - certificate.not_valid_before_utc
    fits = isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1) and lives <= LONGEST
    digest: bytes | None = certificate.fingerprint(hashes.SHA256()) if fits else None
    return digest if certificate.issuer == certificate.subject else None
