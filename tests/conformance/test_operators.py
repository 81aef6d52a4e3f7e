"""What onnxruntime runs on tensors is served, shown on some of the ONNX project's own test models.

`make operators` runs all of them.
"""

import re
from random import Random

import pytest

from registry.datatypes import Datatype
from tests.conformance.cases import Case, load_cases
from tests.conformance.forms import datatype_of
from tests.conformance.judging import Outcome
from tests.conformance.operators import Result, run_cases

Results = dict[str, tuple[Case, Result]]

# What each is there for: if no test model of the name were left, nothing would show it.
CHOSEN = {
    "control flow": r"node/test_(if$|if_seq|loop11|loop13_seq|scan)",
    "texts": r"simple/test_strnorm|node/test_(string_(split|concat)|regex|tfidf|.*label_encoder)",
    "casts": r"node/test_cast_.*(STRING|FLOAT8E4M3FN_|INT4)",
    "scalars": r"node/test_(clip|range|cumsum_1d)",
    "no elements": r"node/test_.*(empty|zero_dim|zero_and)",
    "several outputs": r"node/test_(top_k|unique|split_var|lstm|gru)",
    "several inputs": r"node/test_(where|scatternd|mean|sum|concat_2d)",
    "particular inputs": r"node/test_(slice|tile|gathernd|expand|affine_grid_2d)",
    "sequences": r"node/test_(sequence_insert|identity_sequence|split_to_sequence)",
    "sequences within": r"simple/test_sequence_model",
    "training": r"node/test_training_dropout",
    "bfloat16": r"node/test_.*bfloat16|node/test_cast_.*BFLOAT16",
    "no inputs": r"node/test_constant$",
    "comparisons": r"node/test_(and2d|equal_string|less_uint|bitwise_and_ui16|add_u?int|max_)",
}
_OF_EACH = 6
_OF_EACH_DATATYPE = 2
_MORE = 20


def given(case: Case) -> set[str]:
    """Return the datatypes of the inputs that the protocol has."""
    return set(filter(None, map(datatype_of, case.data[0].inputs)))


def expected(case: Case) -> set[str]:
    return set(filter(None, map(datatype_of, case.data[0].expected)))


def choose_cases() -> list[Case]:
    """Choose the same models each time: some for every purpose, and some by chance."""
    random = Random(3)
    cases = {f"{case.kind}/{case.name}": case for case in load_cases()}
    chosen: set[str] = set()
    for pattern in CHOSEN.values():
        found = [name for name in cases if re.match(pattern, name)]
        assert found, pattern
        chosen.update(random.sample(found, min(_OF_EACH, len(found))))
    for role in (given, expected):
        for datatype in Datatype:
            found = [name for name, case in cases.items() if datatype in role(case)]
            chosen.update(random.sample(found, _OF_EACH_DATATYPE))
    chosen.update(random.sample(sorted(cases), _MORE))
    return [cases[name] for name in sorted(chosen)]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    cases = choose_cases()
    found = run_cases(cases, tmp_path_factory.mktemp("operators"))
    return {case.name: (case, result) for case, result in zip(cases, found, strict=True)}


def of(results: Results, *outcomes: Outcome) -> list[Case]:
    return [case for case, result in results.values() if result.outcome in outcomes]


def test_every_model_is_answered_rightly_or_refused_for_a_reason(results: Results) -> None:
    failed = [
        f"{result.name}: {result.reason}"
        for _, result in results.values()
        if result.outcome is Outcome.FAILED
    ]
    assert failed == []
    assert len(of(results, Outcome.PASSED)) > 100


def test_every_datatype_is_answered_in_its_binary_form(results: Results) -> None:
    answered = of(results, Outcome.PASSED, Outcome.PASSED_AS_RUNTIME)
    every = {datatype.value for datatype in Datatype}
    assert set().union(*map(given, answered)) == every
    assert set().union(*map(expected, answered)) == every


def test_scalars_and_tensors_without_elements_are_answered(results: Results) -> None:
    answered = of(results, Outcome.PASSED, Outcome.PASSED_AS_RUNTIME)
    inputs = [array for case in answered for array in case.data[0].inputs]
    assert any(array.ndim == 0 for array in inputs)
    assert any(array.size == 0 for array in inputs)


def test_what_is_no_tensor_of_the_protocol_is_refused_with_the_remedy(results: Results) -> None:
    # The remedy itself is looked for where the refusal is judged.
    assert of(results, Outcome.NOT_TENSORS)
    assert of(results, Outcome.UNCARRIED)
