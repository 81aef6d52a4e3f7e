"""What is counted of a stage are integers that add, whoever counted them and in which order."""

import itertools
from array import array
from math import inf, nan
from operator import add

import numpy as np
import pytest

from gateway.rollout.bins import Bins, bin_counts, bins_of
from gateway.rollout.evidence import Facts, Layout, Tally
from gateway.rollout.means import UNIT, read_means
from gateway.rollout.pairs import read_pairs
from gateway.rollout.rates import read_rates
from gateway.rollout.scatter import BLOCK
from registry.distribution import Categorical, Discrete, Feature, Numeric, Reference
from registry.rollouts import Guard, GuardKind, Plan, Step

ALL = tuple(Guard(kind=kind, margin=2.0, output="y") for kind in GuardKind)
SHIFT = list(GuardKind).index(GuardKind.SHIFT)
EDGES_US = tuple(5_000 if guard.kind is GuardKind.LATENCY else 0 for guard in ALL)
STEP = Step(points=1_000)
PLAN = Plan(challenger=2, guards=ALL, shadow=STEP, steps=(STEP, STEP))
SHADOW, CANARY = Layout.of(PLAN, 0, {SHIFT: 4}), Layout.of(PLAN, 1, {SHIFT: 4})


def traffic(count: int, seed: int) -> list[Facts]:
    rng = np.random.default_rng(seed)
    return [
        Facts(
            is_challenger=bool(rng.random() < 0.3),
            failed=bool(rng.random() < 0.1),
            refused=bool(rng.random() < 0.1),
            latency_us=int(rng.exponential(3_000)),
            scores=(float(rng.normal(1e3, 50.0)),),
            bins=(rng.integers(4, size=rng.integers(1, 5)).tolist(),),
        )
        for _ in range(count)
    ]


def tally(facts: list[Facts], layout: Layout = CANARY) -> "array[int]":
    counted = Tally(layout, EDGES_US)
    for one in facts:
        counted.add(one)
    return counted.counts


def section(layout: Layout, kind: GuardKind) -> tuple[int, int]:
    [found] = layout.of_kind(kind)
    return found.start, found.bins


def block(challenger: Facts, champion: Facts, count: int = BLOCK) -> list[Facts]:
    return [challenger] * count + [champion] * count


OURS, THEIRS = Facts(is_challenger=True), Facts(is_challenger=False)


def test_each_guard_that_judges_in_a_stage_has_cells_of_its_own() -> None:
    kinds = {
        layout.is_shadow: [one.guard.kind.value for one in layout.sections]
        for layout in (SHADOW, CANARY)
    }
    assert kinds == {
        True: ["errors", "shift", "agreement", "score"],
        False: ["errors", "refusals", "latency", "shift", "score"],
    }
    for layout in (SHADOW, CANARY):
        cells = [cell for one in layout.sections for cell in range(one.start, one.start + one.size)]
        assert cells == list(range(2, layout.size))


def test_a_shift_without_bins_is_not_counted() -> None:
    assert not Layout.of(PLAN, 1, {}).of_kind(GuardKind.SHIFT)


def test_vectors_of_any_workers_add_in_any_order() -> None:
    parts = [tally(traffic(700, seed)) for seed in range(4)]
    sums = set()
    for order in itertools.permutations(parts):
        total = [0] * CANARY.size
        for part in order:
            total = list(map(add, total, part))
        sums.add(tuple(total))
    assert len(sums) == 1


def test_whole_blocks_say_the_same_whichever_worker_they_came_to() -> None:
    """All but how joined blocks scatter, which is of neighbours in one worker."""
    blocks = [
        block(*pair)
        for pair in zip(
            [one for one in traffic(600, 1) if one.is_challenger],
            [one for one in traffic(600, 2) if not one.is_challenger],
            strict=False,
        )
    ]
    one = tally(list(itertools.chain(*blocks)))
    halves = [tally(list(itertools.chain(*blocks[start::2]))) for start in range(2)]
    both = list(map(add, *halves))
    for kind in (GuardKind.ERRORS, GuardKind.LATENCY, GuardKind.SHIFT):
        start, bins = section(CANARY, kind)
        alone, together = read_rates(one, start, bins), read_rates(both, start, bins)
        assert alone.events == together.events
        assert alone.scatter[0] == together.scatter[0]
    start, _ = section(CANARY, GuardKind.SCORE)
    assert read_means(one, start).scales[0] == read_means(both, start).scales[0]


def test_no_cell_ever_falls() -> None:
    for layout in (SHADOW, CANARY):
        counted = Tally(layout, EDGES_US)
        before = list(counted.counts)
        for facts in traffic(2_000, 7):
            counted.add(facts)
            assert all(b <= a for b, a in zip(before, counted.counts, strict=True))
            before = list(counted.counts)


def test_a_block_is_counted_when_it_ends() -> None:
    counted = Tally(CANARY, EDGES_US)
    failed = Facts(is_challenger=True, failed=True)
    for facts in [failed] * 3 + [OURS] * (BLOCK - 3) + [THEIRS] * (BLOCK - 1):
        counted.add(facts)
    start, bins = section(CANARY, GuardKind.ERRORS)
    assert not any(counted.counts)
    counted.add(THEIRS)
    assert list(counted.counts[:2]) == [BLOCK, BLOCK]
    rates = read_rates(counted.counts, start, bins)
    assert (rates.challenger, rates.champion) == (BLOCK, BLOCK)
    assert (rates.events[0].challenger, rates.events[0].champion) == (3, 0)


def test_a_block_waits_for_the_lane_that_has_less() -> None:
    start, bins = section(CANARY, GuardKind.ERRORS)
    rates = read_rates(tally([THEIRS] * 990 + [OURS] * BLOCK), start, bins)
    assert (rates.challenger, rates.champion) == (BLOCK, 990)


def test_what_is_slower_than_the_edge_counts() -> None:
    slow = Facts(is_challenger=True, latency_us=5_001)
    just = Facts(is_challenger=False, latency_us=5_000)
    start, bins = section(CANARY, GuardKind.LATENCY)
    [event] = read_rates(tally(block(slow, just)), start, bins).events
    assert (event.challenger, event.champion) == (BLOCK, 0)


def test_values_are_counted_by_their_bins() -> None:
    ours = Facts(is_challenger=True, bins=([1, 1, 1],))
    theirs = Facts(is_challenger=False, bins=([0, 3],))
    start, bins = section(CANARY, GuardKind.SHIFT)
    rates = read_rates(tally(block(ours, theirs)), start, bins)
    assert (rates.challenger, rates.champion) == (3 * BLOCK, 2 * BLOCK)
    assert [one.champion for one in rates.events] == [BLOCK, 0, 0, BLOCK]
    assert [one.challenger for one in rates.events] == [0, 3 * BLOCK, 0, 0]


def test_a_block_without_answers_of_a_lane_is_joined_with_the_next() -> None:
    failed = Facts(is_challenger=True, failed=True)
    theirs = Facts(is_challenger=False, scores=(1.0,), bins=([0],))
    ours = Facts(is_challenger=True, scores=(3.0,), bins=([1],))
    counts = tally(block(failed, theirs) + block(ours, theirs))
    start, bins = section(CANARY, GuardKind.SHIFT)
    assert read_rates(counts, start, bins).champion == 2 * BLOCK
    start, _ = section(CANARY, GuardKind.SCORE)
    means = read_means(counts, start)
    assert (means.challenger, means.champion) == (BLOCK, 2 * BLOCK)
    assert (means.scales[0].blocks, means.scales[0].total) == (1, 1.0)  # 2 of a margin of 2


def test_differences_of_means_are_in_margins() -> None:
    ours, theirs = Facts(is_challenger=True, scores=(4.5,)), Facts(is_challenger=False, scores=(9,))
    start, _ = section(CANARY, GuardKind.SCORE)
    first = read_means(tally(block(ours, theirs)), start).scales[0]
    assert (first.total, first.squares) == (-2.25, 2.25**2)


@pytest.mark.parametrize("value", [nan, None])
def test_a_score_that_is_missing_is_passed_over(value: float | None) -> None:
    ours = Facts(is_challenger=True, scores=(value,))
    theirs = Facts(is_challenger=False, scores=(1.0,))
    start, _ = section(CANARY, GuardKind.SCORE)
    assert read_means(tally(block(ours, theirs)), start).champion == 0


def test_a_score_beyond_all_measure_counts_as_the_farthest() -> None:
    ours = Facts(is_challenger=True, scores=(inf,))
    theirs = Facts(is_challenger=False, scores=(-1e300,))
    start, _ = section(CANARY, GuardKind.SCORE)
    first = read_means(tally(block(ours, theirs)), start).scales[0]
    assert first.total == 1 << 12
    assert first.squares * UNIT**2 * 500_000 < 2**63


def test_pairs_are_counted_as_they_differ() -> None:
    same = Facts(is_challenger=True, scores=(0.0,), differs=(False,))
    other = Facts(is_challenger=True, scores=(-1.0,), differs=(True,))
    failed = Facts(is_challenger=True, failed=True)
    answers = [same] * (BLOCK - 2) + [other, failed]
    counts = tally([one for ours in answers for one in (THEIRS, ours)], SHADOW)
    start, _ = section(SHADOW, GuardKind.AGREEMENT)
    pairs = read_pairs(counts, start)
    assert (pairs.pairs, pairs.differing) == (BLOCK - 1, 1)
    start, _ = section(SHADOW, GuardKind.SCORE)
    means = read_means(counts, start)
    assert (means.challenger, means.scales[0].blocks) == (BLOCK - 1, 1)
    assert means.scales[0].total == pytest.approx(-0.5 / (BLOCK - 1), abs=1 / UNIT)
    start, bins = section(SHADOW, GuardKind.ERRORS)
    assert read_rates(counts, start, bins).events[0].challenger == 1


def reference(*outputs: Feature) -> Reference:
    return Reference(rows=9, features=(), output_rows=9, outputs=outputs)


def test_bins_are_found_by_output_and_column() -> None:
    numeric = Numeric(minimum=0, maximum=9, mean=4, std=2, edges=(1.0, 2.0), bin_counts=(3, 3, 3))
    outputs = reference(
        Feature(input="label", count=9, missing=0,
                distribution=Discrete(values=(0, 1), counts=(4, 5))),
        Feature(input="p", count=9, missing=0, distribution=None, column=0),
        Feature(input="p", count=9, missing=0, distribution=numeric, column=1),
        Feature(input="t", count=9, missing=0,
                distribution=Categorical(values=("a", "b"), counts=(4, 5), other=0)),
    )  # fmt: skip

    def find(output: str | None, column: int | None = None) -> Bins | None:
        guard = Guard(kind=GuardKind.SHIFT, margin=2.0, output=output, column=column)
        return bins_of(outputs, guard)

    assert find(None) == Bins(edges=(0.0, 1.0))
    assert find("p") == find("p", 1) == Bins(edges=(1.0, 2.0))
    assert find("p", 0) is find("q") is None
    texts = find("t")
    assert texts is not None
    assert [texts.of_text(one) for one in ("a", "b", "c")] == [0, 1, 2]
    assert bin_counts(PLAN, outputs) == {}  # there is no output y
