"""Versions and their history as tables for a terminal."""

from collections.abc import Iterable, Iterator
from itertools import pairwise

from rich.table import Column, Table

from registry.records import (
    AliasChange,
    Categorical,
    Contract,
    Feature,
    Lineage,
    Manifest,
    Numeric,
    Rule,
    TensorSpec,
    Version,
)

_BARS = " ▁▂▃▄▅▆▇█"
_NAMED_VALUES = 5


def version_table(version: Version, manifest: Manifest) -> Table:
    """Sum up one version: what it is, whose, and how admission found it."""
    title = f"{version.model} version {version.number}"
    table = Table("", Column(overflow="fold"), title=title, show_header=False)
    rows = {
        "description": manifest.description,
        "state": version.state.value,
        "author": version.author,
        "created": version.created.isoformat(" ", "seconds"),
        "artifact": version.artifact,
        "manifest": version.manifest,
        "inputs": _tensors(manifest.signature.inputs),
        "outputs": _tensors(manifest.signature.outputs),
        "rules": str(len(manifest.contract.rules)),
        "runtime": manifest.certificate.runtime,
        "load, run": f"{manifest.certificate.load_ms} ms, {manifest.certificate.run_ms} ms",
    }
    if manifest.parity is not None:
        rows["parity"] = (
            f"differs by at most {manifest.parity.largest_difference:.2g} "
            f"on {manifest.parity.rows:,} rows (tolerance {manifest.parity.tolerance:.0e})"
        )
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def manifest_tables(manifest: Manifest) -> Iterator[Table]:
    """Lay out contract, reference and lineage; what a version does not have is left out."""
    if manifest.contract.rules:
        yield _contract_table(manifest.contract)
    if manifest.reference is not None:
        yield _reference_table(manifest.reference.features)
    yield _lineage_table(manifest.lineage)


def history_table(changes: Iterable[AliasChange]) -> Table:
    """Lay out who changed what an alias names, when and why."""
    table = Table("at", "alias", "change", "version", "by", "reason", "record")
    for change in changes:
        table.add_row(
            change.at.isoformat(" ", "seconds"),
            change.alias,
            change.cause.value,
            "" if change.version is None else str(change.version),
            change.principal,
            change.reason,
            change.record_id,
        )
    return table


def _contract_table(contract: Contract) -> Table:
    table = Table("input", "rule", "accepts", "action", title="Contract")
    for rule in contract.rules:
        name = rule.input if rule.column is None else f"{rule.input}[{rule.column}]"
        table.add_row(name, rule.kind.value, _accepts(rule), rule.action.value)
    return table


def _reference_table(features: Iterable[Feature]) -> Table:
    table = Table("input", "values", "missing", "distribution", title="Reference")
    for feature in features:
        name = feature.input if feature.column is None else f"{feature.input}[{feature.column}]"
        table.add_row(name, f"{feature.count:,}", f"{feature.missing:,}", _distribution(feature))
    return table


def _lineage_table(lineage: Lineage) -> Table:
    table = Table("", Column(overflow="fold"), title="Lineage", show_header=False)
    if lineage.data_digest is not None:
        columns = f"{lineage.data_rows:,} rows of {', '.join(lineage.data_columns)}"
        table.add_row("training data", f"{lineage.data_digest}\n{columns}")
    table.add_row("code commit", lineage.code_commit or "not known")
    for metric in lineage.metrics:
        interval = f"[{metric.low:.4f}, {metric.high:.4f}]"
        table.add_row(metric.name, f"{metric.value:.4f} {interval}, n = {metric.n:,}")
    for name, value in lineage.hyper_parameters.items():
        table.add_row(name, str(value))
    for name, number in lineage.libraries.items():
        table.add_row(name, number)
    return table


def _tensors(specs: Iterable[TensorSpec]) -> str:
    return "\n".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in specs)


def _accepts(rule: Rule) -> str:
    if rule.values:
        more = len(rule.values) - _NAMED_VALUES
        return ", ".join(rule.values[:_NAMED_VALUES]) + (f", … ({more} more)" if more > 0 else "")
    if rule.low is None and rule.high is None:
        return "a value"
    low = "-∞" if rule.low is None else f"{rule.low:g}"
    high = "∞" if rule.high is None else f"{rule.high:g}"
    return f"{low} to {high}"


def _distribution(feature: Feature) -> str:
    match feature.distribution:
        case Numeric() as numbers:
            low, high = f"{numbers.minimum:g}", f"{numbers.maximum:g}"
            return f"{low} {_sparkline(numbers)} {high}, mean {numbers.mean:.4g}"
        case Categorical() as texts:
            pairs = list(zip(texts.values, texts.counts, strict=True))[:_NAMED_VALUES]
            return ", ".join(f"{value} {count:,}" for value, count in pairs)
        case None:
            return "no values"


def _sparkline(numbers: Numeric) -> str:
    """Draw the density: bins hold about equal counts, so it is their widths that tell."""
    bounds = (numbers.minimum, *numbers.edges, numbers.maximum)
    widths = [high - low for low, high in pairwise(bounds)]
    densities = [
        count / width if width > 0 else 0.0
        for count, width in zip(numbers.bin_counts, widths, strict=True)
    ]
    top = max(densities, default=0.0) or 1.0
    return "".join(_BARS[round(density / top * (len(_BARS) - 1))] for density in densities)
