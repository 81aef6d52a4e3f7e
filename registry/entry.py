"""One entry of the journal: a record's exact bytes and the payload that stands beside it."""

import os
import time
from hashlib import sha256

import msgspec
from msgspec import Struct

from registry.records import AuditRecord

SALT_SIZE = 32
MAX_LEAF = 65_535  # bytes: C2SP tlog-tiles writes the length of an entry in 16 bits
_ID_RANDOM_SIZE = 10
_ID_RANDOM_BITS = 8 * _ID_RANDOM_SIZE
_DRAWS = 256
_TIME_MASK = (1 << 48) - 1
# Where a UUID says of which kind it is (RFC 9562, sections 4.1 and 4.2): 4 bits and 2.
_VERSION_AND_VARIANT = 0xF << 76 | 0b11 << 62
_UUID7 = 7 << 76 | 0b10 << 62
_COMMITMENT_PREFIX = b"\x02"  # apart from 0x00 and 0x01, which RFC 6962 uses for leaves and nodes


class Payload(Struct, frozen=True, array_like=True):
    """Input and output of one inference in canonical bytes, and the salt of their commitments.

    `output` is empty where no answer was computed. Both are None where they are not kept. `subject`
    is the person that the request named, until the payload is sealed for them.
    """

    salt: bytes
    input: bytes | None
    output: bytes | None
    subject: str | None = None


class Entry(Struct, frozen=True, array_like=True):
    """What the journal holds of one record: the leaf's bytes, and the payload if there is one."""

    leaf: bytes
    payload: Payload | None


class Heading(Struct, frozen=True, gc=False):
    """What queries filter by and summaries count, as a leaf holds it."""

    id: str
    time: str
    kind: str
    outcome: str
    model: str | None = None
    version: int | None = None
    lane: str | None = None
    principal: str | None = None
    request_id: str | None = None
    error: str | None = None
    violations: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    repaired: tuple[str, ...] = ()


class _Randomness:
    """Random bytes of the operating system, fetched many at a time, each given out once.

    A system call for each record would let go of the interpreter's lock, which on a busy core costs
    far more than the call. Threads may draw at once: taking the last of a list is one step.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._left: list[bytes] = []

    def draw(self) -> bytes:
        try:
            return self._left.pop()
        except IndexError:
            block = os.urandom(self._size * _DRAWS)
            last = len(block) - self._size
            self._left.extend(block[at : at + self._size] for at in range(0, last, self._size))
            return block[last:]


_salts = _Randomness(SALT_SIZE)
_id_randomness = _Randomness(_ID_RANDOM_SIZE)
_record_encoder = msgspec.json.Encoder()
_record_decoder = msgspec.json.Decoder(AuditRecord)
_heading_decoder = msgspec.json.Decoder(Heading)


def encode_record(record: AuditRecord) -> bytes:
    """Write the leaf bytes of a record; they are never written anew afterwards.

    Raises ValueError for more than `MAX_LEAF` bytes, a mistake of the caller: whatever goes
    into a record is limited before.
    """
    leaf = _record_encoder.encode(record)
    if len(leaf) > MAX_LEAF:
        raise ValueError(f"a leaf of {len(leaf)} bytes is longer than {MAX_LEAF}")
    return leaf


def decode_record(leaf: bytes) -> AuditRecord:
    """Read the leaf bytes of a record. Raises msgspec.DecodeError where they are not one."""
    return _record_decoder.decode(leaf)


def read_heading(leaf: bytes) -> Heading:
    """Read what a leaf is filtered and counted by, in a fraction of the time of the whole."""
    return _heading_decoder.decode(leaf)


def commit(salt: bytes, payload: bytes) -> str:
    """Commit to a payload without revealing it, however few values it could have.

    The commitment is SHA-256(0x02 || salt || payload) in hexadecimal. Destroying the salt makes it
    impossible to test a guess.
    """
    return sha256(_COMMITMENT_PREFIX + salt + payload).hexdigest()


def new_salt() -> bytes:
    return _salts.draw()


def new_record_id(time_ns: int) -> str:
    """Make a UUIDv7 (RFC 9562, section 5.7): ids of later milliseconds sort after earlier ones."""
    since_ms = time_ns // 1_000_000 & _TIME_MASK
    number = since_ms << _ID_RANDOM_BITS | int.from_bytes(_id_randomness.draw())
    digits = (number & ~_VERSION_AND_VARIANT | _UUID7).to_bytes(16).hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def now_ns() -> int:
    """Read the clock of records: nanoseconds since 1970, UTC."""
    return time.time_ns()
