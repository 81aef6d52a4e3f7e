"""The page's account of the version that decided: what it is, and who made it live and why."""

from gateway.dossier.content import Decider, Event
from gateway.dossier.decision import person
from gateway.page.markup import Child, Markup, element, join
from gateway.page.parts import facts, moment, table
from registry.manifest import Lineage, Manifest, Parity
from registry.versions import AliasCause

_CAUSES = {
    AliasCause.PROMOTE: "was promoted to champion",
    AliasCause.ROLL_BACK: "was made champion again, by a rollback",
}


def version(decider: Decider | None, known: dict[str, str]) -> Markup:
    """Show the version, its quality and its origin."""
    if decider is None:
        return element("p", "No version was met, so none decided.")
    chosen, manifest = decider.version, decider.manifest
    named = facts(
        {
            "Model and version": f"{chosen.model}, version {chosen.number}",
            "Published": f"{moment(chosen.created)}, by {person(chosen.author, known)}",
            "Artifact": element("code", chosen.artifact),
            "Manifest": element("code", chosen.manifest),
        }
    )
    if manifest is None:
        return join(named, element("p", f"Its card cannot be read. {decider.manifest_note}"))
    description = element("blockquote", manifest.description) if manifest.description else None
    return join(description, named, _quality(manifest), _lineage(manifest.lineage))


def standing(decider: Decider | None, known: dict[str, str]) -> Markup:
    """Show by whose decision the version was live, and all that was done to it before."""
    if decider is None:
        return element("p", "No version was met, so nobody's decision let it answer.")
    return join(_live(decider, known), _others(decider), _events(decider.events, known))


def _live(decider: Decider, known: dict[str, str]) -> Markup:
    change, number = decider.live, decider.version.number
    if change is None:
        return element("p", f"The caller asked for version {number} by its number.")
    cause = _CAUSES.get(change.cause, "came to be named by the alias")
    return join(
        element(
            "p",
            f"Version {number} {cause} on {moment(change.at)} by ",
            element("b", person(change.principal, known)),
            ". The reason given:",
        ),
        element("blockquote", change.reason),
        element(
            "p",
            "The evidence that stood beside the version then is the quality told in section 4: it"
            " is fixed when a version is published. The decision is itself a record: ",
            element("code", change.record_id),
            ".",
        ),
    )


def _others(decider: Decider) -> Markup:
    if not decider.others:
        return join()
    named = ", ".join(decider.others)
    return element("p", f"Other aliases that named it at the time of the request: {named}.")


def _events(events: tuple[Event, ...], known: dict[str, str]) -> Markup:
    if not events:
        return join()
    lines: list[tuple[Child, ...]] = [
        (moment(one.time), _act(one), person(one.principal, known), one.reason or "–", _index(one))
        for one in events
    ]
    return join(
        element("h3", "All that was done to this version before the request"),
        table(("when", "what", "by", "why", "index in the log"), lines),
    )


def _act(event: Event) -> str:
    before = "" if event.previous is None else f", in place of version {event.previous}"
    alias = "" if event.alias is None else f" ({event.alias}{before})"
    return f"{event.action}{alias}"


def _index(event: Event) -> str:
    return "–" if event.index is None else f"{event.index:,}"


def _quality(manifest: Manifest) -> Markup:
    metrics = manifest.lineage.metrics
    if not metrics:
        measured = element("p", "No quality was measured when it was published.", class_="soft")
    else:
        lines: list[tuple[Child, ...]] = [
            (one.name, f"{one.value:.4g}", f"{one.low:.4g} to {one.high:.4g}", f"{one.n:,}")
            for one in metrics
        ]
        measured = table(
            ("measured on data held out", "value", "95 % interval", "rows"), lines, "valued"
        )
    return join(element("h3", "Quality"), measured, _parity(manifest.parity))


def _parity(parity: Parity | None) -> Markup:
    if parity is None:
        return join()
    return element(
        "p",
        f"The served file was compared with the model it was converted from, on {parity.rows:,}"
        f" rows: it differs by {parity.largest_difference:.2g} at most, and"
        f" {parity.labels_equal:.2%} of the labels are equal.",
        class_="small",
    )


def _lineage(lineage: Lineage) -> Markup:
    settings = (f"{name} = {value}" for name, value in lineage.hyper_parameters.items())
    libraries = (f"{name} {number}" for name, number in lineage.libraries.items())
    known: dict[str, Child] = {
        "Training data": None
        if lineage.data_digest is None
        else element("code", lineage.data_digest),
        "Rows of it": None if lineage.data_rows is None else f"{lineage.data_rows:,}",
        "Columns of it": ", ".join(lineage.data_columns),
        "Code": None if lineage.code_commit is None else element("code", lineage.code_commit),
        "Settings": ", ".join(settings),
        "Libraries": ", ".join(libraries),
    }
    if not any(known.values()):
        said = element("p", "Nothing was said of it.", class_="soft")
    else:
        said = facts(known)
    return join(element("h3", "Where it comes from"), said)
