"""Texts as numbers that stay the same: which bucket a text is counted in, whether one was seen.

References are made with it and live texts are counted with it, so nothing here may change as long
as a stored reference is read. The digest of a text is the first eight bytes, little-endian, of
BLAKE2b over its UTF-8 under a key that everybody knows: it says the same in every process, and
hides no text from somebody who guesses it.
"""

import re
from base64 import b64decode, b64encode
from collections.abc import Collection
from hashlib import blake2b
from math import ceil, exp, log, log2

from registry.distribution import BUCKETS

_KEY = b"governed-gateway reference"
# No more than this keeps a filter below 11 KB of a manifest.
_MOST_BITS = 1 << 16
_LEAST_BITS = 64
_LOW_HALF = (1 << 32) - 1
_WORD = re.compile(r"[^\W_]+")


def digest(text: str | bytes) -> int:
    """Digest a text to 64 bits; bytes are taken for its UTF-8, whether they are or not.

    >>> digest("AA") == digest(b"AA")
    True
    """
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return int.from_bytes(blake2b(raw, digest_size=8, key=_KEY).digest(), "little")


def bucket(text_digest: int) -> int:
    """Say in which of `BUCKETS` a text is counted, by its digest."""
    return text_digest % BUCKETS


def words(text: str) -> list[str]:
    """Split a text into its words: runs of letters and digits, in lower case.

    >>> words("Gate B_12: won't open")
    ['gate', 'b', '12', 'won', 't', 'open']
    """
    return _WORD.findall(text.lower())


class BloomFilter:
    """A set of texts that names none; it may take a text for known that is not, never the reverse.

    A filter of no bits knows every text. Positions of a text are h1 + i * h2 modulo the number of
    bits, with the halves of its digest, the second made odd (A. Kirsch and M. Mitzenmacher, Random
    Structures & Algorithms 33 (2008), p. 187); bit p is bit p % 8 of byte p // 8.
    """

    __slots__ = ("bits", "hashes")

    def __init__(self, bits: bytes = b"", hashes: int = 0) -> None:
        self.bits = bits
        self.hashes = hashes

    @classmethod
    def read(cls, bloom: str, hashes: int) -> "BloomFilter":
        """Read a filter as a reference keeps it, in base64. Raises ValueError."""
        return cls(b64decode(bloom, validate=True), hashes)

    def write(self) -> str:
        """Write the bits as a reference keeps them."""
        return b64encode(self.bits).decode()

    def __contains__(self, text_digest: int) -> bool:
        bits = self.bits
        return all(bits[at >> 3] >> (at & 7) & 1 for at in self._positions(text_digest))

    @property
    def false_share(self) -> float:
        """The share of texts never put in that the filter takes for known."""
        if not self.bits:
            return 1.0
        share: float = (int.from_bytes(self.bits, "little").bit_count() / self.size) ** self.hashes
        return share

    @property
    def size(self) -> int:
        """The number of bits."""
        return 8 * len(self.bits)

    def _positions(self, text_digest: int) -> list[int]:
        size = self.size
        first, step = text_digest & _LOW_HALF, text_digest >> 32 | 1
        return [(first + i * step) % size for i in range(self.hashes)]


def make_filter(digests: Collection[int], false_share: float) -> BloomFilter:
    """Make a filter of the digests of texts that takes `false_share` of others for known, or more.

    The number of bits is a power of two: the greatest at which it takes as many, up to 65,536. So
    it takes about twice as many at most, where these suffice; a few texts have 64 bits.
    """
    if not digests:
        return BloomFilter(bytes(_LEAST_BITS // 8), 1)
    n = len(digests)
    wanted = n * log(1 / false_share) / log(2) ** 2
    size = min(_MOST_BITS, max(_LEAST_BITS, 2 ** int(log2(wanted))))
    hashes = _best_hashes(size, n)
    filled = bytearray(size // 8)
    empty = BloomFilter(bytes(size // 8), hashes)
    for one in digests:
        for at in empty._positions(one):
            filled[at >> 3] |= 1 << (at & 7)
    return BloomFilter(bytes(filled), hashes)


def _best_hashes(size: int, n: int) -> int:
    """Choose the number of bits a text at which the fewest others are taken for known."""
    at_optimum = size / n * log(2)
    candidates = {max(1, int(at_optimum)), max(1, ceil(at_optimum))}
    return min(candidates, key=lambda hashes: (1 - exp(-hashes * n / size)) ** hashes)
