"""Which callers meet a challenger: the same ones for as long as its share does not fall. Pure."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol, TypeVar

from registry.rollouts import POINTS

MOST_SALT_BYTES = 64  # of a key of BLAKE2b
_DIGEST_SIZE = 8  # beside 2**64 the 10,000 points are so few that each has the same share


class Share(Protocol):
    """The points that a challenger answers: as many as `points`, from `base` on."""

    @property
    def base(self) -> int: ...

    @property
    def points(self) -> int: ...


S = TypeVar("S", bound=Share)


def point(salt: str, key: str) -> int:
    """Return the point of a caller, in [0, 10,000); under one salt a key always has the same.

    It is the number that eight bytes of BLAKE2b (RFC 7693) of the key write, keyed with the salt,
    modulo 10,000. A salt has at most `MOST_SALT_BYTES`.

    >>> point("salt", "caller-1") == point("salt", "caller-1")
    True
    """
    text = key.encode("utf-8", "surrogatepass")
    digest = blake2b(text, digest_size=_DIGEST_SIZE, key=salt.encode()).digest()
    return int.from_bytes(digest) % POINTS


def choose(shares: Sequence[S], point: int) -> S | None:
    """Return what answers the callers of a point; None where the champion does.

    Open rollouts of one model have ranges that do not overlap, and a share that is raised keeps the
    points that it has: so raising it only ever moves callers from the champion to the challenger.
    """
    for share in shares:
        if 0 <= point - share.base < share.points:
            return share
    return None
