"""The page: one file that needs no network, on a screen and on paper."""

from pathlib import Path

from gateway.dossier import decision, evidence, origin
from gateway.dossier.content import Dossier, Gathered, write_json
from gateway.dossier.markup import Markup, element
from gateway.dossier.standing import Standing
from gateway.replay.what_if import Opinion
from registry.audit.replay import Agreement
from registry.records import Outcome

_STYLE = Path(__file__).with_name("style.css")
# So that no text in the data ends the element that holds it (HTML, section 4.12.1.3).
_UNSAFE = {b"<": b"\\u003c", b">": b"\\u003e", b"&": b"\\u0026"}
# Whatever a text on it might hold: the page loads nothing and runs nothing.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_page(gathered: Gathered) -> bytes:
    """Write a dossier as HTML that carries the same content as JSON, `<script id="dossier">`."""
    dossier = gathered.dossier
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        '<meta name="referrer" content="no-referrer">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f"{element('title', f'Decision dossier {dossier.record_id}')}"
        f"<style>{_STYLE.read_text()}</style>"
    )
    data = write_json(dossier)
    for unsafe, safe in _UNSAFE.items():
        data = data.replace(unsafe, safe)
    script = f'<script type="application/json" id="dossier">{data.decode()}</script>'
    body = element("body", _header(gathered), *_sections(gathered), _footer(dossier))
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>{body}{script}</html>\n'.encode()


def _sections(gathered: Gathered) -> list[Markup]:
    dossier = gathered.dossier
    known = dossier.principals
    sections = {
        "The decision": decision.decision(gathered),
        "The input, as it is kept": decision.given(gathered),
        "The rules that applied": decision.rules(gathered),
        "The version that decided": origin.version(dossier.decider, known),
        "By whose decision it was live": origin.standing(dossier.decider, known),
        "The answer, computed again": evidence.replayed(dossier.replay),
        "What the record commits to": evidence.commitment(gathered.record, dossier.kept),
        "Proof, and how to check it": evidence.proof(dossier.proof, dossier.leaf),
    }
    return [
        element("section", element("h2", element("span", str(i), class_="number"), title), content)
        for i, (title, content) in enumerate(sections.items(), 1)
    ]


def _header(gathered: Gathered) -> Markup:
    dossier = gathered.dossier
    return element(
        "header",
        element("div", "Decision dossier", class_="kicker"),
        element("h1", dossier.outcome),
        element(
            "p", decision.moment(dossier.time), " · record ", element("code", dossier.record_id)
        ),
        element("div", *_marks(gathered), class_="marks"),
    )


def _marks(gathered: Gathered) -> list[Markup]:
    dossier = gathered.dossier
    is_answered = gathered.record.outcome is Outcome.ANSWERED
    marks = [
        _mark("Outcome", gathered.record.outcome.value, "good" if is_answered else "warn"),
        _kept_mark(dossier),
        _rules_mark(dossier),
        _proof_mark(dossier),
    ]
    if dossier.replay is not None:
        result = dossier.replay.result
        is_good = result in {Agreement.IDENTICAL, Opinion.SAME}
        said = result.value.replace("_", " ")
        marks.append(_mark("Computed again", said, "good" if is_good else "warn"))
    return marks


def _kept_mark(dossier: Dossier) -> Markup:
    if dossier.kept.is_committed is None:
        return _mark("Input and output", "Not kept", "warn")
    if dossier.kept.is_committed:
        return _mark("Input and output", "Kept, as committed to", "good")
    return _mark("Input and output", "Not what was committed to", "bad")


def _proof_mark(dossier: Dossier) -> Markup:
    if dossier.proof.text is None:
        return _mark("Proof", "Not yet published", "warn")
    return _mark("Proof", "In the signed log", "good")


def _rules_mark(dossier: Dossier) -> Markup:
    if not dossier.rules:
        return _mark("Rules", "None applied", "warn")
    broken = sum(one.standing is Standing.BROKEN for one in dossier.rules)
    unknown = sum(one.standing is Standing.UNKNOWN for one in dossier.rules)
    if unknown:
        return _mark("Rules", f"{unknown} cannot be told", "warn")
    total = len(dossier.rules)
    if broken:
        return _mark("Rules", f"{broken} of {total} broken", "bad")
    return _mark("Rules", f"All {total} kept", "good")


def _mark(name: str, said: str, kind: str) -> Markup:
    return element("div", element("b", name), said[:1].upper() + said[1:], class_=f"mark {kind}")


def _footer(dossier: Dossier) -> Markup:
    return element(
        "footer",
        f"Made on {decision.moment(dossier.made)} with {dossier.made_with}. This file is whole: it"
        " loads nothing, and carries everything it shows as JSON in the element ",
        element("code", "script#dossier"),
        ".",
    )
