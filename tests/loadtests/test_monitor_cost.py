"""What watching costs is measured on rows that are counted, and stays within its bounds."""

import pytest

from gateway.monitor.folding import Folder
from gateway.monitor.layout import Layout
from loadtests import monitor


@pytest.mark.parametrize("name", monitor.CASES)
def test_each_case_counts_all_of_its_rows(name: str) -> None:
    signature, make = monitor.CASES[name]
    reference = monitor.make_reference(signature, has_joint=True)
    layout = Layout.of(reference)
    folder = Folder(layout, reference, signature)
    for request in make(16):
        folder.add(request, {})
    folder.fold()
    for feature in layout.features:
        assert folder.counts[feature.rows.start : feature.rows.stop].sum() == 16


def test_a_row_of_thirty_numbers_costs_about_a_microsecond_at_most() -> None:
    name = next(iter(monitor.CASES))
    signature, make = monitor.CASES[name]
    reference = monitor.make_reference(signature, has_joint=False)
    # Three times what is promised for an idle machine: `python -m loadtests.monitor`.
    assert monitor.fold_us(reference, signature, make(1024)) < 3 * 1024
