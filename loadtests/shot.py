"""The request that a load repeats, and what every right answer to it holds."""

from msgspec import Struct

ID_DIGITS = 12


class Question(Struct, frozen=True):
    """An HTTP request up to its id, and from there on."""

    head: bytes
    tail: bytes

    def numbered(self, number: int) -> bytes:
        """Return the whole request under an id of its own; all ids are of one length."""
        return b"%b%012d%b" % (self.head, number, self.tail)


class Shot(Struct, frozen=True):
    """A request, and the piece of the body that every right answer holds."""

    question: Question
    piece: bytes
