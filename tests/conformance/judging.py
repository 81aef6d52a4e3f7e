"""Was it right to refuse a test model, and if it was not refused, are its answers?"""

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

import httpx
import numpy as np
from msgspec import Struct

from registry.errors import Rejected
from tests.conformance.cases import Case
from tests.conformance.forms import (
    HEADER_LENGTH,
    Array,
    as_json_has_it,
    fits_json,
    read_answer,
    write_binary,
    write_json,
)
from tests.conformance.oracle import Oracle, are_same

_BFLOAT16_STEPS = 2**-6  # two steps, as in ONNX's own runner


class Outcome(StrEnum):
    PASSED = "passed"
    PASSED_AS_RUNTIME = "passed: bit for bit what onnxruntime alone answers, not what the test has"
    RUNTIME_CANNOT = "refused: onnxruntime alone cannot run it"
    NOT_TENSORS = "refused: an input or output is no tensor"
    UNCARRIED = "refused: an element type that the protocol has not"
    FAILED = "failed"


class Verdict(Struct, frozen=True):
    """The outcome of one model, the reason, and how many answers were compared."""

    outcome: Outcome
    reason: str = ""
    requests: int = 0


def weigh_refusal(oracle: Oracle, refusal: Rejected) -> Verdict:
    """Say whether a refusal at publish is right: of what cannot be served, with the remedy."""
    told = str(refusal)
    if oracle.cannot is not None and refusal.check == "load":
        return Verdict(Outcome.RUNTIME_CANNOT, oracle.cannot)
    if oracle.not_tensors is not None and refusal.check == "signature" and "instead" in told:
        return Verdict(Outcome.NOT_TENSORS, oracle.not_tensors)
    if oracle.uncarried is not None and refusal.check == "signature" and "Cast" in told:
        return Verdict(Outcome.UNCARRIED, oracle.uncarried)
    return Verdict(Outcome.FAILED, f"refused by the check {refusal.check!r}: {told}")


def hold_answers(case: Case, oracle: Oracle, client: httpx.Client) -> Verdict:
    """Ask a published model for every answer of its test, in every form, and compare."""
    if oracle.not_tensors or oracle.uncarried or oracle.is_unloadable:
        return Verdict(Outcome.FAILED, "published, though nothing can serve it")
    outcome, requests = Outcome.PASSED, 0
    for number, data in enumerate(case.data):
        inputs = dict(zip(oracle.inputs, data.inputs, strict=True))
        for write in _forms(inputs):
            answer = _post(case.name, *write(inputs), client)
            if oracle.cannot is not None:
                return _weigh_fault(oracle.cannot, answer)
            found = _hold(case, oracle, number, answer, is_json=write is write_json)
            if found.outcome is Outcome.FAILED:
                return Verdict(Outcome.FAILED, f"{write.__name__}: {found.reason}")
            outcome = found.outcome if outcome is Outcome.PASSED else outcome
            requests += 1
    return Verdict(outcome, requests=requests)


def _forms(
    inputs: Mapping[str, Array],
) -> list[Callable[[Mapping[str, Array]], tuple[bytes, dict[str, str]]]]:
    is_json = all(map(fits_json, inputs.values()))
    return [write_binary, write_json] if is_json else [write_binary]


def _post(
    model: str, body: bytes, headers: Mapping[str, str], client: httpx.Client
) -> dict[str, Array] | str:
    """Ask a model; return its outputs, or how it refused."""
    answer = client.post(f"/v2/models/{model}/infer", content=body, headers=dict(headers))
    if answer.status_code != 200:
        problem = answer.json()
        return f"{answer.status_code} {problem['code']}: {problem['detail']}"
    return read_answer(answer.content, answer.headers.get(HEADER_LENGTH))


def _weigh_fault(cannot: str, answer: Mapping[str, Array] | str) -> Verdict:
    if isinstance(answer, str) and answer.startswith(("400 ", "500 model-failed")):
        return Verdict(Outcome.RUNTIME_CANNOT, cannot)
    return Verdict(Outcome.FAILED, f"onnxruntime fails alone, the gateway says {answer}")


def _hold(
    case: Case, oracle: Oracle, number: int, answer: Mapping[str, Array] | str, *, is_json: bool
) -> Verdict:
    """Compare one answer with the expected one, or else with that of onnxruntime alone."""
    if isinstance(answer, str):
        return Verdict(Outcome.FAILED, answer)
    if tuple(answer) != oracle.outputs:
        return Verdict(Outcome.FAILED, f"the outputs are {list(answer)}")
    found = list(answer.values())
    expected, alone = case.data[number].expected, oracle.answers[number]
    if is_json:
        expected, alone = tuple(map(as_json_has_it, expected)), tuple(map(as_json_has_it, alone))
    if are_near(found, expected, case):
        return Verdict(Outcome.PASSED)
    if are_same(found, alone):
        return Verdict(Outcome.PASSED_AS_RUNTIME)
    return Verdict(Outcome.FAILED, "another answer than the test has, and than onnxruntime alone")


def are_near(found: Sequence[Array], wanted: Sequence[Array], case: Case) -> bool:
    """Compare as ONNX's own runner does: the same form, and values within the test's tolerance."""
    return _have_same_form(found, wanted) and all(
        _is_near(a, b, case) for a, b in zip(found, wanted, strict=True)
    )


def _have_same_form(found: Sequence[Array], wanted: Sequence[Array]) -> bool:
    return [(a.dtype.kind == "O" or a.dtype, a.shape) for a in found] == [
        (b.dtype.kind in "OU" or b.dtype, b.shape) for b in wanted
    ]


def _is_near(found: Array, wanted: Array, case: Case) -> bool:
    """Compare one output; only numbers with a fraction have a tolerance."""
    if wanted.dtype.kind in "OUbiu":
        return bool(np.array_equal(found, wanted))
    rtol = max(case.rtol, _BFLOAT16_STEPS) if wanted.dtype.name == "bfloat16" else case.rtol
    exact = found.astype(np.float64), wanted.astype(np.float64)
    return np.allclose(*exact, rtol=rtol, atol=case.atol, equal_nan=True)
