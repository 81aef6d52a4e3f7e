"""Whether a reference fits a signature and its counts agree, asked once, when it is published.

A gateway counts live values in the places of the reference, and trusts them.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from math import isfinite

from registry.datatypes import Datatype
from registry.distribution import (
    BUCKETS,
    Categorical,
    Discrete,
    Distribution,
    Embedding,
    Feature,
    FreeText,
    HighCardinality,
    Joint,
    Numeric,
    Reference,
)
from registry.errors import Rejected, clip
from registry.manifest import Signature, TensorSpec
from registry.text_digest import BloomFilter

_MOST_HASHES = 64
_DIRECTIONS = 64
_JOINT_EDGES = 5


def check_reference(signature: Signature, reference: Reference) -> None:
    """Raise `Rejected("reference", …)` for the first part that makes no sense for the signature."""
    sides = (
        ("input", signature.inputs, reference.features, reference.rows),
        ("output", signature.outputs, reference.outputs, reference.output_rows),
    )
    for side, specs, features, rows in sides:
        known = {spec.name: spec for spec in specs}
        places = set()
        for feature in features:
            spec = known.get(feature.input)
            what = f"{side} {clip(feature.input)!r}"
            if spec is None or (feature.input, feature.column) in places:
                raise Rejected("reference", f"The reference has a wrong or second {what}.")
            places.add((feature.input, feature.column))
            fault = _place_fault(feature, spec) or _fault(feature, rows)
            if fault:
                raise Rejected("reference", f"The reference of {what}: {fault}.")
    if reference.joint is not None and not _is_joint(reference.joint, reference):
        raise Rejected("reference", "The joint distance of the reference does not fit it.")


def _place_fault(feature: Feature, spec: TensorSpec) -> str:
    found, columns = feature.distribution, _columns(spec)
    if feature.column is not None and (feature.column < 0 or -1 < columns <= feature.column):
        return f"there is no column {feature.column}"
    if isinstance(found, Embedding) and columns not in (-1, found.columns):
        return f"its vectors have {found.columns} columns and not {columns}"
    is_text = isinstance(found, Categorical | HighCardinality | FreeText)
    if found is not None and is_text != (spec.datatype is Datatype.BYTES):
        return f"it describes {'texts' if is_text else 'numbers'}, not {spec.datatype}"
    return ""


def _columns(spec: TensorSpec) -> int:
    """Count the columns of a tensor of rows, -1 where the model leaves it open."""
    if spec.is_unranked:
        return -1
    return spec.shape[-1] if len(spec.shape) > 1 else 1


def _fault(feature: Feature, rows: int) -> str:
    found = feature.distribution
    if min(feature.count, feature.missing) < 0 or feature.count + feature.missing != rows:
        return f"present and missing values are not {rows} in all"
    if found is None:
        return "" if feature.count == 0 else "values are present and none is described"
    return "" if _is_whole(found, feature.count) else "its counts do not fit each other"


def _is_whole(found: Distribution, count: int) -> bool:
    match found:
        case Numeric():
            moments = (found.minimum, found.maximum, found.mean, found.std)
            return (
                all(map(isfinite, moments))
                and _are_bins(found.edges, found.bin_counts, count)
                and set(found.spikes) <= set(found.edges)
            )
        case Discrete():
            return _ascend(found.values) and _add_up(found.values, found.counts, count)
        case Categorical():
            bucketed = not found.buckets or _are_buckets(found.buckets, found.other)
            return bucketed and _add_up(found.values, found.counts, count - found.other)
        case HighCardinality():
            named = sum(found.counts)
            return (
                named <= count
                and _add_up(found.values, found.counts, named)
                and _are_buckets(found.buckets, count)
                and 0 <= found.unseen <= count
                and _is_filter(found.bloom, found.hashes)
            )
        case FreeText():
            return (
                _are_bins(found.length_edges, found.length_counts, count)
                and 0 <= found.non_ascii <= count
                and _are_buckets(found.buckets, found.words)
                and 0 <= found.unseen <= found.words
                and _is_filter(found.bloom, found.hashes)
            )
        case Embedding():
            return (
                len(found.thresholds) == len(found.above) == _DIRECTIONS
                and all(0 <= above <= count for above in found.above)
                and found.seed >= 0
                and _are_bins(found.norm_edges, found.norm_counts, count)
            )


def _is_joint(joint: Joint, reference: Reference) -> bool:
    size = len(joint.features)
    numbers = (*joint.mean, *joint.whitening, *joint.edges)
    return (
        _ascend(joint.features)
        and all(0 <= at < len(reference.features) for at in joint.features)
        and all(
            isinstance(reference.features[at].distribution, Numeric | Discrete)
            for at in joint.features
        )
        and len(joint.mean) == size
        and len(joint.whitening) == size * (size + 1) // 2
        and all(map(isfinite, numbers))
        and len(joint.edges) == _JOINT_EDGES
        and all(a <= b for a, b in pairwise(joint.edges))
        and _count(joint.bin_counts, reference.rows)
        and len(joint.bin_counts) == _JOINT_EDGES + 1
    )


def _are_bins(edges: Sequence[float], counts: Sequence[int], total: int) -> bool:
    return (
        all(map(isfinite, edges))
        and _ascend(edges)
        and len(counts) == len(edges) + 1
        and _count(counts, total)
    )


def _are_buckets(buckets: Sequence[int], total: int) -> bool:
    return len(buckets) == BUCKETS and _count(buckets, total)


def _add_up(values: Sequence[object], counts: Sequence[int], total: int) -> bool:
    return len(set(values)) == len(counts) == len(values) and _count(counts, total)


def _count(counts: Iterable[int], total: int) -> bool:
    found = list(counts)
    return all(count >= 0 for count in found) and sum(found) == total


def _ascend(values: Sequence[float]) -> bool:
    return all(a < b for a, b in pairwise(values))


def _is_filter(bloom: str, hashes: int) -> bool:
    try:
        size = BloomFilter.read(bloom, hashes).size
    except ValueError:
        return False
    return 0 < hashes <= _MOST_HASHES if size else hashes == 0
