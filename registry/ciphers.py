"""Authenticated encryption: AES-256-GCM (NIST SP 800-38D) with a random nonce in front."""

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from registry.errors import PayloadDamaged

_NONCE_SIZE = 12


def encrypt(key: bytes, plain: bytes, bound: bytes) -> bytes:
    """Return the nonce and what hides `plain`; it can be read with the same key and `bound`."""
    nonce = os.urandom(_NONCE_SIZE)
    return nonce + AESGCM(key).encrypt(nonce, plain, bound)


def decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """Read what `encrypt` wrote. Raises PayloadDamaged where it is not that."""
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], bound)
    except (InvalidTag, ValueError) as error:
        raise PayloadDamaged from error
