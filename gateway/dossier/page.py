"""The page: one file that needs no network, on a screen and on paper."""

from gateway.dossier import decision, evidence, origin
from gateway.dossier.content import Dossier, Gathered, write_json
from gateway.dossier.standing import Standing
from gateway.page.document import write_document
from gateway.page.markup import Markup, element
from gateway.page.parts import mark, moment
from gateway.replay.what_if import Opinion
from registry.audit.replay import Agreement
from registry.records import Outcome


def write_page(gathered: Gathered) -> bytes:
    """Write a dossier as HTML that carries the same content as JSON, `<script id="dossier">`."""
    dossier = gathered.dossier
    body = element("body", _header(gathered), *_sections(gathered), _footer(dossier))
    title = f"Decision dossier {dossier.record_id}"
    return write_document(title, body, data_id="dossier", data=write_json(dossier))


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
        element("p", moment(dossier.time), " · record ", element("code", dossier.record_id)),
        element("div", *_marks(gathered), class_="marks"),
    )


def _marks(gathered: Gathered) -> list[Markup]:
    dossier = gathered.dossier
    is_answered = gathered.record.outcome is Outcome.ANSWERED
    marks = [
        mark("Outcome", gathered.record.outcome.value, "good" if is_answered else "warn"),
        _kept_mark(dossier),
        _rules_mark(dossier),
        _proof_mark(dossier),
    ]
    if dossier.replay is not None:
        result = dossier.replay.result
        is_good = result in {Agreement.IDENTICAL, Opinion.SAME}
        said = result.value.replace("_", " ")
        marks.append(mark("Computed again", said, "good" if is_good else "warn"))
    return marks


def _kept_mark(dossier: Dossier) -> Markup:
    if dossier.kept.is_committed is None:
        return mark("Input and output", "Not kept", "warn")
    if dossier.kept.is_committed:
        return mark("Input and output", "Kept, as committed to", "good")
    return mark("Input and output", "Not what was committed to", "bad")


def _proof_mark(dossier: Dossier) -> Markup:
    if dossier.proof.text is None:
        return mark("Proof", "Not yet published", "warn")
    return mark("Proof", "In the signed log", "good")


def _rules_mark(dossier: Dossier) -> Markup:
    if not dossier.rules:
        return mark("Rules", "None applied", "warn")
    broken = sum(one.standing is Standing.BROKEN for one in dossier.rules)
    unknown = sum(one.standing is Standing.UNKNOWN for one in dossier.rules)
    if unknown:
        return mark("Rules", f"{unknown} cannot be told", "warn")
    total = len(dossier.rules)
    if broken:
        return mark("Rules", f"{broken} of {total} broken", "bad")
    return mark("Rules", f"All {total} kept", "good")


def _footer(dossier: Dossier) -> Markup:
    return element(
        "footer",
        f"Made on {moment(dossier.made)} with {dossier.made_with}. This file is whole: it"
        " loads nothing, and carries everything it shows as JSON in the element ",
        element("code", "script#dossier"),
        ".",
    )
