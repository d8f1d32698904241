"""What the parser of certificates and requests raises for bytes that strangers send.

The library documents ValueError, and raises more; found by changing some bytes of good ones at random.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.utils import CryptographyDeprecationWarning

BROKEN: tuple[type[Exception], ...] = (
    ValueError,
    TypeError,
    OverflowError,
    UnsupportedAlgorithm,
    InvalidSignature,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.UnsupportedGeneralNameType,
    # Of serial numbers that are not positive; it is raised where warnings are errors.
    CryptographyDeprecationWarning,
)
"""Everything that a broken certificate or request is known to raise, when it is read or looked at later."""
