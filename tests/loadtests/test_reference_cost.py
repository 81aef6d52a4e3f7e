"""What a reference costs is measured on references of the kinds that are named."""

import pytest

from loadtests import reference
from registry.portrait import kind_of
from registry.reference import derive_reference


@pytest.mark.parametrize("name", reference.CASES)
def test_each_case_is_of_its_kind(name: str) -> None:
    columns = reference.CASES[name](4000)
    features = derive_reference(columns).features
    count, kind = name.replace(",", "").split()[:2]
    assert len(features) == int(count)
    assert {kind_of(feature.distribution) for feature in features} == {kind}


def test_a_reference_of_50_000_rows_and_30_inputs_is_small_and_quickly_made() -> None:
    seconds, size = reference.measure(reference.numbers(reference.ROWS), repeats=3)
    assert size < 50_000
    assert seconds < 2  # ten times what an idle machine needs: `python -m loadtests.reference`
