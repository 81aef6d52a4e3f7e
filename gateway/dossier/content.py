"""What a dossier says, as values.

The page shows these values and nothing else, and carries them as JSON.
"""

from collections.abc import Mapping
from datetime import datetime

import msgspec
from msgspec import Raw, Struct

from gateway.dossier.standing import RuleStanding
from gateway.protocol.response import JsonTensor
from gateway.replay.what_if import WhatIf
from registry.audit.replay import Replay
from registry.manifest import Manifest
from registry.records import AuditRecord
from registry.tensors import Tensor
from registry.versions import AliasChange, Version

MAX_VALUES = 10_000  # of one tensor that are written out; its bytes are whole in any case


class Kept(Struct, frozen=True, kw_only=True):
    """Input and output as they are kept, and what is needed to hold them against the leaf.

    `is_committed` is None, and `note` says why, where nothing is kept. The bytes are the canonical
    form (base64): SHA-256 of 0x02, the salt and the bytes is what the leaf names. Tensors beyond
    `MAX_VALUES` elements are in the bytes alone.
    """

    is_committed: bool | None
    note: str
    salt: str | None = None
    input_bytes: str | None = None
    output_bytes: str | None = None
    inputs: tuple[JsonTensor, ...] = ()
    outputs: tuple[JsonTensor, ...] = ()


class Event(Struct, frozen=True, kw_only=True):
    """One recorded act on the version, before the decision was made."""

    time: datetime
    action: str
    alias: str | None
    previous: int | None
    principal: str | None
    source: str | None
    reason: str | None
    record_id: str
    index: int | None


class Decider(Struct, frozen=True, kw_only=True):
    """The version that decided, how it came to be live, and all that was done to it until then.

    `live` is the change by which the alias that the request met came to name it; None where the
    caller named the version itself. `others` are its other aliases at that time.
    """

    version: Version
    manifest: Manifest | None
    manifest_note: str
    live: AliasChange | None
    others: tuple[str, ...]
    events: tuple[Event, ...]


class Proof(Struct, frozen=True, kw_only=True):
    """What proves that the record is in the log: a C2SP tlog-proof and the log's verifier key.

    `text` is None, and `note` says why, where the record is under no signed checkpoint yet.
    """

    note: str
    text: str | None = None
    vkey: str | None = None


class Dossier(Struct, frozen=True, kw_only=True):
    """Everything that is known of one decision. `leaf` is the record, byte for byte."""

    v: int = 1
    made: datetime
    made_with: str
    record_id: str
    index: int | None
    time: datetime
    outcome: str
    record: Raw
    leaf: str
    kept: Kept
    violations: tuple[str, ...]
    flags: tuple[str, ...]
    observed: tuple[str, ...]
    repaired: tuple[str, ...]
    rules: tuple[RuleStanding, ...]
    decider: Decider | None
    principals: dict[str, str]
    replay: Replay | WhatIf | None
    proof: Proof


class Gathered(Struct, frozen=True):
    """A dossier, and the arrays and the record behind it, for whoever shows them."""

    dossier: Dossier
    record: AuditRecord
    inputs: Mapping[str, Tensor]
    outputs: Mapping[str, Tensor]


def write_json(dossier: Dossier) -> bytes:
    """Write a dossier as JSON; numbers that JSON does not have are null, as in the protocol."""
    return msgspec.json.encode(dossier)
