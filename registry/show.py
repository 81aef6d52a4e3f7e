"""How a version, and what becomes of one, look in a terminal."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

import click

from registry.audit.summary import RuleCount
from registry.console import can_print, print_table, printable
from registry.distribution import Feature, Reference
from registry.manifest import Certificate, Lineage, Manifest
from registry.portrait import bars, in_words, joint_in_words, kind_of, share, sparkline
from registry.promotions import Promotion
from registry.rules.words import expected_in_words
from registry.times import now
from registry.versions import CHAMPION, AliasChange, Version


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


def print_move(done: AliasChange | Promotion) -> None:
    """Say what an alias names now, or that another person is to decide on it."""
    if isinstance(done, Promotion):
        click.echo(
            f"To promote version {done.version} of {done.model} is asked for: another person is to"
            f" approve {done.id} by {done.expires:%Y-%m-%d %H:%M} UTC."
        )
        return
    what = "nothing" if done.version is None else f"version {done.version}"
    alias = "champion" if done.alias == CHAMPION else f"alias {done.alias}"
    click.echo(f"The {alias} of {done.model} is {what} now (record {done.record_id}).")


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
        _print_reference(manifest.reference, manifest.signature.labels)
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


def _print_reference(reference: Reference, labels: Mapping[str, Sequence[str]]) -> None:
    _print_features(reference.features, f"Reference of {reference.rows:,} rows", {})
    if reference.joint is not None:
        _print_facts({"joint": joint_in_words(reference.joint)})
    if reference.outputs:
        title = f"Outputs on {reference.output_rows:,} held-out rows"
        _print_features(reference.outputs, title, labels)
    else:
        click.echo("The reference describes no outputs; publish with --holdout to have them.")


def _print_features(
    features: Iterable[Feature], title: str, labels: Mapping[str, Sequence[str]]
) -> None:
    is_ascii = not can_print(sparkline(range(9)))
    print_table(
        ("values of", "kind", "present", "missing", "bars", "distribution"),
        (
            (_place(feature.input, feature.column, labels), kind_of(feature.distribution),
             f"{feature.count:,}", share(feature.missing, feature.count + feature.missing),
             sparkline(bars(feature.distribution), is_ascii=is_ascii), in_words(feature))
            for feature in features
        ),
        title,
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


def _place(
    name: str, column: int | None, labels: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> str:
    """Name a feature; a column of classes by its class."""
    if column is None:
        return name
    classes = labels.get(name, ())
    return f"{name}: {classes[column]}" if column < len(classes) else f"{name}[{column}]"
