"""How a version looks in a terminal."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import click

from registry.audit.summary import RuleCount
from registry.console import print_table, printable
from registry.distribution import Categorical, Feature, Numeric, Reference
from registry.manifest import Certificate, Lineage, Manifest
from registry.rules.words import expected_in_words
from registry.times import now
from registry.versions import Version

_MOST_NAMED = 5


def print_summary(version: Version, manifest: Manifest, aliases: Iterable[str] = ()) -> None:
    """Print what a version is and demands: digest, signature, contract, certificate."""
    parity = manifest.parity
    _print_facts(
        {
            "version": f"{version.model} {version.number}, {version.state}",
            "aliases": ", ".join(aliases),
            "description": manifest.description,
            "author": version.author,
            "created": version.created,
            "digest": version.artifact,
            "manifest": version.manifest,
            "original": manifest.original,
            "certificate": _certificate(manifest.certificate),
            "parity": ""
            if parity is None
            else f"differs by {parity.largest_difference:.2g} at most (tolerance "
            f"{parity.tolerance:.2g}), {parity.labels_equal:.2%} of labels equal, "
            f"{parity.rows:,} rows",
        }
    )
    sides = (("input", manifest.signature.inputs), ("output", manifest.signature.outputs))
    print_table(
        ("side", "name", "datatype", "shape"),
        ((side, s.name, s.datatype, list(s.shape)) for side, specs in sides for s in specs),
        "Signature",
    )
    if not manifest.contract.rules:
        click.echo("The contract accepts every value.")
        return
    print_table(
        ("values of", "rule", "action", "expected"),
        (
            (_place(rule.input, rule.column), rule.kind, rule.action, expected_in_words(rule))
            for rule in manifest.contract.rules
        ),
        "Contract",
    )


def _certificate(certificate: Certificate) -> str:
    runs = (
        "runs on no input that was tried (give one with --sample)"
        if certificate.run_ms is None
        else f"runs in {certificate.run_ms:.1f} ms"
    )
    repeats = ", not deterministic" if certificate.is_deterministic is False else ""
    return f"loads in {certificate.load_ms:.1f} ms, {runs} on {certificate.runtime}{repeats}"


def print_rule_counts(counts: Sequence[RuleCount], warm_until: datetime | None) -> None:
    """Print what the rules of a version have done so far, and until when they only observe."""
    if warm_until is not None and warm_until > now():
        click.echo(f"Its rules only observe until {printable(warm_until)} UTC.")
    if counts:
        print_table(
            ("rule", "refused", "flagged", "repaired", "observed"),
            (
                (one.rule, one.refused or "", one.flagged or "", one.repaired or "",
                 one.observed or "")
                for one in counts
            ),
            "Requests that broke a rule so far",
        )  # fmt: skip


def print_origin(manifest: Manifest) -> None:
    """Print where a version comes from: reference, lineage, metrics."""
    if manifest.reference is None:
        click.echo("There is no reference.")
    else:
        _print_reference(manifest.reference)
    _print_lineage(manifest.lineage)
    if manifest.lineage.metrics:
        print_table(
            ("metric", "value", "95 % interval", "n"),
            (
                (metric.name, f"{metric.value:.4g}", f"{metric.low:.4g} to {metric.high:.4g}",
                 f"{metric.n:,}")
                for metric in manifest.lineage.metrics
            ),
            "Metrics",
        )  # fmt: skip


def _print_reference(reference: Reference) -> None:
    print_table(
        ("values of", "present", "missing", "distribution"),
        (
            (_place(feature.input, feature.column), f"{feature.count:,}", f"{feature.missing:,}",
             _distribution(feature))
            for feature in reference.features
        ),
        f"Reference of {reference.rows:,} rows",
    )  # fmt: skip


def _print_lineage(lineage: Lineage) -> None:
    pairs = (f"{name}={value}" for name, value in lineage.hyper_parameters.items())
    libraries = (f"{name} {version}" for name, version in lineage.libraries.items())
    _print_facts(
        {
            "data": lineage.data_digest,
            "rows": lineage.data_rows,
            "columns": ", ".join(lineage.data_columns),
            "commit": lineage.code_commit,
            "parameters": ", ".join(pairs),
            "libraries": ", ".join(libraries),
        }
    )


def _print_facts(facts: dict[str, Any]) -> None:
    for name, value in facts.items():
        if value not in (None, ""):
            click.echo(f"{name:12} {printable(value)}")


def _place(name: str, column: int | None) -> str:
    return name if column is None else f"{name}[{column}]"


def _distribution(feature: Feature) -> str:
    found = feature.distribution
    if isinstance(found, Numeric):
        return (
            f"{found.minimum:g} to {found.maximum:g}, mean {found.mean:.4g}, "
            f"standard deviation {found.std:.4g}"
        )
    if isinstance(found, Categorical):
        rare = f"; {found.other:,} in other values" if found.other else ""
        return _named(found.values) + rare
    return "no value"


def _named(values: tuple[str, ...]) -> str:
    more = len(values) - _MOST_NAMED
    return ", ".join(values[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
