"""What a leaf says: its id, and what it commits to.

The JSON is read by another parser than the one that the gateway writes it with.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from registry.audit.verify.faults import Malformed, Mismatch

# What a store keeps of a record beside its leaf: its id, and the members that queries filter by.
Columns = tuple[object, ...]

LARGEST_LEAF = 65_535  # an entry bundle has 16 bits for its length

_COMMITMENT_PREFIX = b"\x02"
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True)
class OpenPayload:
    """Input and output of a record as they are kept, and the salt that its leaf commits with.

    Either is None where it was not kept; `output` is empty where no answer was computed.
    """

    salt: bytes
    input: bytes | None
    output: bytes | None


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) != len(members):
        raise ValueError("a member comes twice")
    return found


_decoder = json.JSONDecoder(object_pairs_hook=_unique)


def read_leaf(leaf: bytes) -> dict[str, Any]:
    """Return the members of a leaf: a JSON object that names its format, id, kind and time.

    Raises Malformed.
    """
    try:
        text = leaf.decode()
        record, end = _decoder.raw_decode(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("record", "is not JSON") from error
    if end != len(text) or type(record) is not dict or len(leaf) > LARGEST_LEAF:
        raise Malformed("record", f"is not one JSON object of at most {LARGEST_LEAF} bytes")
    if type(record.get("v")) is not int or not _UUID.fullmatch(str(record.get("id"))):
        raise Malformed("record", "has no format or no UUIDv7 as its id")
    for name in ("kind", "time", "outcome"):
        if type(record.get(name)) is not str:
            raise Malformed("record", f"has no {name}")
    return record


def id_of(leaf: bytes) -> str | None:
    """Return the id of a leaf; None where it cannot be read."""
    try:
        return str(read_leaf(leaf)["id"])
    except Malformed:
        return None


def check_commitments(record: Mapping[str, Any], payload: OpenPayload) -> None:
    """Check that a payload is the one that the record commits to.

    A commitment is SHA-256(0x02 || salt || payload), in hexadecimal. Raises Mismatch.
    """
    for name, value in (("input", payload.input), ("output", payload.output)):
        if value is None:
            continue
        found = sha256(_COMMITMENT_PREFIX + payload.salt + value).hexdigest() if value else None
        if found != record.get(name):
            raise Mismatch(f"The {name} beside the record is not the one that it commits to.")


def check_columns(record: Mapping[str, Any], columns: Columns) -> None:
    """Check that what a store repeats of a leaf is what the leaf says.

    Queries filter by it, so that a record could be hidden from them there. Raises Mismatch.
    """
    get = record.get
    told = (
        bytes.fromhex(record["id"].replace("-", "")),
        get("request_id"),
        record["kind"],
        record["outcome"],
        get("model"),
        get("version"),
        get("lane"),
        get("principal"),
    )
    if told != columns:
        raise Mismatch("The columns that queries filter by are not what the record says.")
