"""The page's account of why to believe it: the answer computed again, the proof, the leaf."""

from gateway.dossier.content import Kept, Proof
from gateway.page.markup import Child, Markup, element, join
from gateway.page.parts import facts, table
from gateway.replay.what_if import WhatIf
from registry.audit.comparison import Distance
from registry.audit.replay import Replay
from registry.records import AuditRecord

# Run on the saved page; it needs nothing but Python.
_TAKE_APART = """\
python3 - DOSSIER.html <<'END'
import base64, hashlib, json, re, sys
page = open(sys.argv[1], encoding="utf-8").read()
found = re.search('<script[^>]*id="dossier"[^>]*>(.*?)</script>', page, re.S)
data = json.loads(found[1])
kept, record = data["kept"], data["record"]
for side in ("input", "output"):
    if kept[side + "_bytes"]:
        salt, given = bytes.fromhex(kept["salt"]), base64.b64decode(kept[side + "_bytes"])
        digest = hashlib.sha256(b"\\x02" + salt + given).hexdigest()
        print(side, "is what was committed to:", digest == record[side])
for name, text in (("record.json", data["leaf"]), ("proof.txt", data["proof"]["text"])):
    open(name, "w", encoding="utf-8", newline="").write(text or "")
END"""
_VERIFY = "gateway audit verify --receipt proof.txt --record record.json --vkey '{vkey}'"


def replayed(replay: Replay | WhatIf | None) -> Markup:
    """Show what came of computing the answer again."""
    if replay is None:
        return element("p", "The answer was not computed again for this dossier.", class_="soft")
    if isinstance(replay, WhatIf):
        title = f"Version {replay.version} of the model was asked the same."
    else:
        title = "The recorded input was put to the recorded artifact again."
    lines = [_distance(one) for one in replay.outputs]
    measured = None
    if lines:
        head = ("output", "values", "other bits", "beyond tolerance", "largest distance")
        measured = table(head, lines)
    return join(
        element("p", f"{title} {replay.detail}"),
        measured,
        element("p", f"Runtime now: {replay.runtime}", class_="soft small"),
    )


def _distance(one: Distance) -> tuple[Child, ...]:
    largest = "–" if one.max_absolute is None else f"{one.max_absolute:.6g}"
    return (
        one.output,
        f"{one.elements:,}",
        f"{one.differing:,}",
        f"{one.beyond:,}",
        one.mismatch or largest,
    )


def commitment(record: AuditRecord, kept: Kept) -> Markup:
    """Show how input and output are held against the record."""
    explained = element(
        "p",
        "The record holds no values. It commits to them: SHA-256 of the byte 0x02, a random salt"
        " and the bytes of the tensors. Bytes and salt are in this file as data, where they are"
        " kept.",
    )
    return join(
        explained,
        element("p", kept.note),
        facts(
            {
                "Input": None if record.input is None else element("code", record.input),
                "Output": None if record.output is None else element("code", record.output),
                "Salt": None if kept.salt is None else element("code", kept.salt),
            }
        ),
    )


def proof(proof: Proof, leaf: str) -> Markup:
    """Show the proof that the record is in the log, how to check it, and the record's bytes."""
    return join(
        element("p", proof.note),
        _how_to_check(proof),
        element("h3", "The record, byte for byte"),
        element("pre", leaf),
        join(element("h3", "The proof and its checkpoint"), element("pre", proof.text))
        if proof.text
        else None,
    )


def _how_to_check(proof: Proof) -> Markup:
    take_apart = element(
        "li",
        "Take this file apart. That checks the commitments, and writes the record and its proof:",
        element("pre", _TAKE_APART),
    )
    if proof.text is None or proof.vkey is None:
        return join(element("h3", "How to check it"), element("ol", take_apart))
    verify = element(
        "li",
        "Check the proof, with this project's checker or any other that reads C2SP tlog-proof:",
        element("pre", _VERIFY.format(vkey=proof.vkey)),
    )
    trust = element(
        "li",
        "Trust the key for what others say of it: compare the one above with the one that the"
        " gateway publishes at /audit/vkey, or that you were given before, since this file could"
        " have been made with any. The checkpoint proves that the record is in the log that is"
        " signed there; compare it with checkpoints that you or a witness have kept.",
    )
    return join(element("h3", "How to check it, offline"), element("ol", take_apart, verify, trust))
