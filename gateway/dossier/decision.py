"""The page's account of the decision: what was answered, to what input, under which rules."""

from gateway.dossier.content import Gathered, Kept
from gateway.dossier.standing import RuleStanding, Standing
from gateway.dossier.values import tensor_table
from gateway.dossier.words import ACTIONS, LANES
from gateway.page.markup import Child, Markup, element, join
from gateway.page.parts import facts, moment, table
from registry.manifest import Action, Manifest
from registry.records import Lane

_STANDINGS = {
    Standing.KEPT: "kept",
    Standing.BROKEN: "broken",
    Standing.UNKNOWN: "cannot be told",
}


def person(principal: str | None, known: dict[str, str]) -> str:
    """Name who did something: the id, and what is known of it."""
    if principal is None:
        return "nobody that is known"
    if principal.startswith("local:"):
        return f"{principal.removeprefix('local:')}, on the machine itself"
    return f"{principal}: {known[principal]}" if principal in known else principal


def decision(gathered: Gathered) -> Markup:
    """Show the answer, or why there is none, and how it came to be."""
    dossier, record = gathered.dossier, gathered.record
    manifest = _manifest(gathered)
    lane = None if record.lane is None else LANES[Lane(record.lane)]
    rows = None if record.rows is None else f"{record.rows:,}"
    return join(
        _answer(gathered, manifest),
        _complaints("What was wrong with the request", dossier.violations),
        _complaints("What the answer was flagged for", dossier.flags),
        _complaints("What was replaced before the model ran", dossier.repaired),
        _complaints("What was observed and not told to the caller", dossier.observed),
        facts(
            {
                "When": moment(dossier.time),
                "Asked by": person(record.principal, dossier.principals),
                "From": record.source,
                "Caller's own id": record.request_id,
                "Caller's trace": record.trace,
                "Which version": lane,
                "Rollout": record.rollout,
                "Its challenger": None
                if record.canary_error is None
                else f"failed with {record.canary_error}, so the champion answered",
                "Rows": rows,
                "Time it took": None
                if record.latency_us is None
                else f"{record.latency_us / 1000:.3f} ms",
            }
        ),
    )


def given(gathered: Gathered) -> Markup:
    """Show the input as it is kept, beside what the version was trained on."""
    manifest, kept = _manifest(gathered), gathered.dossier.kept
    if not gathered.inputs:
        return _note(kept)
    return join(
        tensor_table(
            gathered.inputs,
            "input",
            labels={},
            reference=None if manifest is None else manifest.reference,
        ),
        element("p", kept.note, class_="soft small"),
    )


def rules(gathered: Gathered) -> Markup:
    """Show each rule of the contract and how the input stood to it."""
    standings = gathered.dossier.rules
    if not standings:
        return element("p", "No rule of a contract applied to the values of this request.")
    note = None
    if any(one.standing is Standing.UNKNOWN for one in standings):
        note = element(
            "p",
            "What is not kept as it came cannot be held against its rules again. What was found"
            " when the request came is told in section 1.",
            class_="soft",
        )
    lines = [_rule(one) for one in standings]
    return join(note, table(("rule", "the input", "if it is broken"), lines))


def _rule(standing: RuleStanding) -> tuple[Child, ...]:
    places = ", ".join(standing.places)
    more = standing.broken - len(standing.places)
    also = f" and {more:,} more" if more > 0 else ""
    found = element("span", f" {places}{also}") if places else None
    tag = element("span", _STANDINGS[standing.standing], class_=f"tag {standing.standing}")
    return standing.text, join(tag, found), ACTIONS[Action(standing.rule.action)]


def _answer(gathered: Gathered, manifest: Manifest | None) -> Markup:
    if not gathered.outputs:
        if gathered.record.output is None:
            return element("p", "There is no answer.")
        return _note(gathered.dossier.kept)
    labels = {} if manifest is None else manifest.signature.labels
    return tensor_table(gathered.outputs, "output", labels=labels, class_="valued answer")


def _note(kept: Kept) -> Markup:
    return element("p", kept.note, class_="soft")


def _complaints(title: str, said: tuple[str, ...]) -> Markup:
    if not said:
        return join()
    return join(
        element("h3", title),
        element("ul", *(element("li", one) for one in said)),
        element("p", "Rows and columns count from 0.", class_="soft small"),
    )


def _manifest(gathered: Gathered) -> Manifest | None:
    decider = gathered.dossier.decider
    return None if decider is None else decider.manifest
