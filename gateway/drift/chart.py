"""Shares of the reference and of now as bars, in SVG: the same scale, told apart without colour.

The reference is a wide, pale bar; what came is a narrow, dark one before it. Each bar says in words
what it is when it is pointed at, and the picture as a whole has a text for who cannot see it.
"""

from collections.abc import Iterator, Sequence
from math import ceil, log10

from msgspec import Struct

from gateway.drift.report import FeatureReport, Share
from gateway.monitor.cells import MISSING, UNSEEN, UNSEEN_WORDS
from gateway.page.markup import Markup, element

_WIDTH, _HEIGHT = 480.0, 150.0  # of the bars
_LEFT, _TOP, _BELOW, _TILTED_BELOW = 46.0, 10.0, 20.0, 58.0
_GAP = 0.6  # of a slot, before what is counted beside the bins
_COUNTED = (MISSING, UNSEEN, UNSEEN_WORDS)  # of which the bins say nothing
_NARROW = 8  # bins; where there are more, what is counted beside them needs two slots for its label
_LETTER = 6.2  # width, at the size of the labels
_MOST_LETTERS = 14
_MOST_BARS = 24
_MOST_EDGES = 6
_NOTHING = 1e-9  # of the distance between the outer edges
_STEPS = (1.0, 1.2, 1.6, 2.0, 2.4, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)


class _Bar(Struct, frozen=True):
    """One pair of bars, its middle so many slots from the left."""

    label: str
    share: Share
    middle: float


def draw(feature: FeatureReport) -> Markup:
    """Draw the shares of a feature; a feature that nothing is known of has no bars."""
    bins = list(_bins(feature))
    counted = list(_counted(feature, len(bins)))
    bars = [*bins, *counted]
    slot = _WIDTH / (max((bar.middle for bar in bars), default=0.5) + (1 if counted else 0.5))
    top = _ceiling(max((max(b.share.expected, b.share.observed) for b in bars), default=1.0))
    is_tilted = any(len(bar.label) * _LETTER > slot for bar in bins)
    below = _TILTED_BELOW if is_tilted else _BELOW
    return element(
        "svg",
        element("title", _in_words(feature)),
        *_grid(top),
        *(_pair(bar, slot, top) for bar in bars),
        *(_tick(bar, slot, is_tilted=is_tilted) for bar in bins if bar.label),
        *(_tick(bar, slot, is_tilted=False) for bar in counted),
        *_edges(feature, slot),
        class_="chart",
        role="img",
        viewBox=f"0 0 {_LEFT + _WIDTH + 4:g} {_TOP + _HEIGHT + below:g}",
    )


def legend() -> Markup:
    """Show which bar is which."""
    keys = (("before", "the reference: training"), ("now", "now: what came"))
    return element("div", *(_key(class_, said) for class_, said in keys), class_="legend")


def _key(class_: str, said: str) -> Markup:
    bar = element("rect", x="1", y="1", width="24", height="14", class_=class_)
    return element("span", element("svg", bar, viewBox="0 0 26 16"), said)


def short(what: str) -> str:
    """Say in fewer words what a share is of.

    >>> short("share of AA"), short("share at or below 2")
    ('AA', 'at or below 2')
    """
    return what.removeprefix("share ").removeprefix("of ")


def _bins(feature: FeatureReport) -> Iterator[_Bar]:
    """Place the bins side by side."""
    bins = feature.bins if feature.is_ordered else _largest(feature.bins)
    for number, share in enumerate(bins):
        yield _Bar("" if feature.edges else short(share.what), share, number + 0.5)


def _counted(feature: FeatureReport, bins: int) -> Iterator[_Bar]:
    """Place after a gap what is counted beside the bins, where there is any."""
    width = 2 if bins > _NARROW else 1
    at = bins + (_GAP if bins else 0)
    for share in feature.counts:
        if share.what in _COUNTED and (share.expected or share.observed):
            yield _Bar(share.what, share, at + width / 2)
            at += width


def _largest(bins: Sequence[Share]) -> list[Share]:
    """Keep the largest of many shares, and add up the others."""
    ranked = sorted(bins, key=lambda one: -max(one.expected, one.observed))
    if len(ranked) <= _MOST_BARS:
        return ranked
    rest = ranked[_MOST_BARS - 1 :]
    return [
        *ranked[: _MOST_BARS - 1],
        Share(
            what=f"{len(rest)} others",
            expected=sum(one.expected for one in rest),
            observed=sum(one.observed for one in rest),
        ),
    ]


def _ceiling(highest: float) -> float:
    """Round up to a number that a scale may end at."""
    if highest <= 0:
        return 1.0
    unit = 10.0 ** (ceil(log10(highest)) - 1)
    return next(step * unit for step in _STEPS if step * unit >= highest * 0.999)


def _grid(top: float) -> Iterator[Markup]:
    for part in (0.0, 0.5, 1.0):
        y = f"{_TOP + _HEIGHT * (1 - part):g}"
        yield element("line", x1=f"{_LEFT:g}", x2=f"{_LEFT + _WIDTH:g}", y1=y, y2=y, class_="grid")
        yield element("text", f"{100 * top * part:.3g} %", x=f"{_LEFT - 5:g}", y=y, class_="scale")


def _pair(bar: _Bar, slot: float, top: float) -> Markup:
    share = bar.share
    said = f"{short(share.what)}: {share.expected:.1%} in the reference, {share.observed:.1%} now"
    return element(
        "g",
        element("title", said),
        _rectangle(bar.middle, slot, 0.86, share.expected / top, "before"),
        _rectangle(bar.middle, slot, 0.4, share.observed / top, "now"),
    )


def _rectangle(middle: float, slot: float, part: float, height: float, class_: str) -> Markup:
    width = slot * part
    return element(
        "rect",
        x=f"{_LEFT + slot * middle - width / 2:.2f}",
        y=f"{_TOP + _HEIGHT * (1 - height):.2f}",
        width=f"{width:.2f}",
        height=f"{_HEIGHT * height:.2f}",
        class_=class_,
    )


def _tick(bar: _Bar, slot: float, *, is_tilted: bool) -> Markup:
    """Write below a bar what it is."""
    x, y = _LEFT + slot * bar.middle, _TOP + _HEIGHT + 13
    written = bar.label
    if len(written) > _MOST_LETTERS:
        written = f"{written[: _MOST_LETTERS - 1]}…"
    if not is_tilted:
        return element("text", written, x=f"{x:.1f}", y=f"{y:g}", class_="tick")
    turned = f"rotate(-38 {x:.1f} {y:g})"
    return element("text", written, x=f"{x:.1f}", y=f"{y:g}", class_="tilted", transform=turned)


def _edges(feature: FeatureReport, slot: float) -> Iterator[Markup]:
    """Write some of the edges between bins, never so many that they touch."""
    labels = [_edge(edge, feature.edges) for edge in feature.edges]
    # The edge below a number that fills a bin of its own is hardly another number.
    told = [i for i, label in enumerate(labels) if label not in labels[i + 1 : i + 2]]
    y = f"{_TOP + _HEIGHT + 13:g}"
    for number in told[:: max(1, ceil(len(told) / _MOST_EDGES))]:
        x = f"{_LEFT + slot * (number + 1):.1f}"
        yield element("text", labels[number], x=x, y=y, class_="tick")


def _edge(edge: float, edges: Sequence[float]) -> str:
    return "0" if abs(edge) < _NOTHING * (edges[-1] - edges[0]) else f"{edge:.4g}"


def _in_words(feature: FeatureReport) -> str:
    shares = (*feature.bins, *feature.counts)
    if not shares:
        return f"{feature.name}: nothing is counted."
    most = max(shares, key=lambda one: abs(one.observed - one.expected))
    return (
        f"{feature.name}: shares of the reference and of now. The largest difference is"
        f" {short(most.what)}: {most.expected:.1%} in the reference, {most.observed:.1%} now."
    )
