"""How somebody with a key asks for a certificate, and proves the key of the one before.

The operator's command proves itself in the same way. Needs ``cryptography``; imported where that is due alone.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from libcensus.facts.renewal import renewal_bytes


def make_key() -> ec.EllipticCurvePrivateKey:
    """Return a new key: ECDSA P-256, which every collector takes."""
    return ec.generate_private_key(ec.SECP256R1())


def key_to_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key as files hold it: PKCS #8 in PEM, without a passphrase."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def make_signing_request(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a certificate signing request (PKCS #10, DER) for a key; its subject is empty, for nobody looks at it."""
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.DER)


def prove_key(key: ec.EllipticCurvePrivateKey, challenge: bytes, signing_request: bytes) -> bytes:
    """Return the signature by which a renewal proves the old key."""
    return key.sign(renewal_bytes(challenge, signing_request), ec.ECDSA(hashes.SHA256()))
