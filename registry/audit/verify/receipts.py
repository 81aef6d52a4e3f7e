"""Receipts: that one record is in the log, or that the log only grew, with nothing else at hand.

The first is a C2SP tlog-proof. The gateway's answers, which have such proofs in JSON, are read too.
"""

import json
from dataclasses import dataclass
from typing import Any

from registry.audit.verify.checkpoints import Checkpoint, Trust, open_checkpoint
from registry.audit.verify.encoding import read_base64, read_number
from registry.audit.verify.faults import Malformed, Mismatch
from registry.audit.verify.notes import LARGEST_NOTE
from registry.audit.verify.proofs import HASH_SIZE, check_consistency, check_inclusion, hash_leaf

HEADER = "c2sp.org/tlog-proof@v1"
# A path has at most one hash for each bit of an index.
_LONGEST_PATH = 63


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt taken apart, and nothing of it checked. `extra` is not covered by anything."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes | None


def read_receipt(receipt: bytes) -> Receipt:
    """Take a receipt apart. Raises Malformed."""
    head, separator, checkpoint = receipt.partition(b"\n\n")
    if not separator or len(receipt) > 2 * LARGEST_NOTE:
        raise Malformed("receipt", "is not a proof, an empty line and a checkpoint")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError as error:
        raise Malformed("receipt", "is not ASCII above its checkpoint") from error
    if lines.pop(0) != HEADER:
        raise Malformed("receipt", f"does not begin with {HEADER}")
    extra = None
    if lines and lines[0].startswith("extra "):
        extra = read_base64(lines.pop(0).removeprefix("extra "), "receipt's extra data")
    if not lines or not lines[0].startswith("index "):
        raise Malformed("receipt", "names no index")
    index = read_number(lines.pop(0).removeprefix("index "), "receipt's index")
    if len(lines) > _LONGEST_PATH:
        raise Malformed("receipt", "has a longer proof than any log needs")
    path = tuple(read_base64(line, "receipt's proof", size=HASH_SIZE) for line in lines)
    return Receipt(index, path, checkpoint, extra)


def read_answer(answer: bytes) -> tuple[Receipt, bytes | None]:
    """Take apart a receipt, or the answer of `/audit/records/{id}/proof`, which has the leaf too.

    Raises Malformed.
    """
    if not answer.startswith(b"{"):
        receipt = read_receipt(answer)
        return receipt, receipt.extra
    told = _members(answer, "receipt", ("proof", "leaf"))
    return read_receipt(str(told["proof"]).encode()), read_base64(str(told["leaf"]), "record")


def check_receipt(receipt: Receipt, leaf: bytes, trust: Trust) -> Checkpoint:
    """Check that a leaf is in the log, and return the signed checkpoint that it is under.

    Raises Malformed and Mismatch.
    """
    checkpoint = open_checkpoint(receipt.checkpoint, trust.keys, witnesses=trust.witnesses)
    root, size = checkpoint.root, checkpoint.size
    check_inclusion(hash_leaf(leaf), receipt.index, size, receipt.path, root)
    return checkpoint


def check_growth(answer: bytes, one: Checkpoint, other: Checkpoint) -> None:
    """Check that the larger of two checkpoints continues the smaller one.

    `answer` is that of `/audit/consistency`. Raises Malformed and Mismatch.
    """
    old, new = sorted((one, other), key=lambda checkpoint: checkpoint.size)
    told = _members(answer, "consistency proof", ("from", "to", "hashes"))
    if (told["from"], told["to"]) != (old.size, new.size):
        raise Mismatch("The consistency proof is between other sizes than the checkpoints.")
    if type(told["hashes"]) is not list or len(told["hashes"]) > 2 * _LONGEST_PATH:
        raise Malformed("consistency proof", "has no hashes, or too many")
    path = [read_base64(str(one), "consistency proof", size=HASH_SIZE) for one in told["hashes"]]
    check_consistency(old.size, new.size, path, old.root, new.root)


def _members(answer: bytes, what: str, names: tuple[str, ...]) -> dict[str, Any]:
    try:
        told = json.loads(answer)
        return {name: told[name] for name in names}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Malformed(what, f"is not JSON with the members {', '.join(names)}") from error
