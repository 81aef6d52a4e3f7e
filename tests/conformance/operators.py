"""Publishes and serves the ONNX project's operator tests, and holds every answer to theirs.

    python -m tests.conformance.operators [--filter REGEX] [--report FILE]

Each model that onnxruntime runs on tensors must be published, served over HTTP, and answer as the
test expects, in the protocol's binary form and, where JSON carries the values, in JSON.
"""

import argparse
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import msgspec
from msgspec import Struct

from registry.errors import Rejected
from registry.registry import Registry
from tests.builders import add_key, open_registry, publish, serving
from tests.conformance.cases import Case, load_cases
from tests.conformance.judging import Outcome, hold_answers, weigh_refusal
from tests.conformance.oracle import consult

_CHUNK = 300
_PUBLISHERS = 2
_BODY_LIMIT = 64 << 20  # one test has 2.5 million values, which are long in JSON
_PACKAGES = ("onnx", "onnxruntime", "numpy")


class Result(Struct, frozen=True, kw_only=True):
    """What became of one model, and why."""

    kind: str
    name: str
    outcome: Outcome
    reason: str = ""
    requests: int = 0


def run_cases(cases: Sequence[Case], folder: Path) -> Iterator[Result]:
    """Take cases from publishing to compared answers, some hundred of them at a time."""
    for start in range(0, len(cases), _CHUNK):
        yield from _run_chunk(cases[start : start + _CHUNK], folder / f"from-{start}")


def _run_chunk(cases: Sequence[Case], data_dir: Path) -> Iterator[Result]:
    registry = open_registry(data_dir)
    token = add_key(registry)
    with ThreadPoolExecutor(_PUBLISHERS) as pool:
        refusals = list(pool.map(lambda case: _publish(registry, case), cases))
    with (
        # On a busy machine no answer is refused for having to wait.
        serving(data_dir, "--body-limit", str(_BODY_LIMIT), "--queue-limit", "10") as gateway,
        gateway.client(token) as client,
    ):
        for case, refusal in zip(cases, refusals, strict=True):
            oracle = consult(case)
            if refusal is None:
                verdict = hold_answers(case, oracle, client)
            else:
                verdict = weigh_refusal(oracle, refusal)
            yield Result(
                kind=case.kind,
                name=case.name,
                outcome=verdict.outcome,
                reason=verdict.reason,
                requests=verdict.requests,
            )
    registry.store.close()


def _publish(registry: Registry, case: Case) -> Rejected | None:
    try:
        publish(registry, case.name, case.artifact)
    except Rejected as refusal:
        return refusal
    return None


def print_results(results: Sequence[Result]) -> None:
    """Print how many models had which outcome for which reason, and each that failed."""
    for outcome in Outcome:
        reasons = Counter(r.reason for r in results if r.outcome is outcome)
        print(f"{reasons.total():5}  {outcome.value}")
        if outcome is not Outcome.FAILED:
            for reason, count in reasons.most_common():
                if reason:
                    print(f"       {count:5}  {reason}")
    for result in results:
        if result.outcome is Outcome.FAILED:
            print(f"failed: {result.kind}/{result.name}: {result.reason}")
    print(f"{len(results)} models, {sum(r.requests for r in results)} requests compared;", end=" ")
    print(", ".join(f"{name} {version(name)}" for name in _PACKAGES))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the models that a filter chooses; the exit status says whether none failed."""
    parser = argparse.ArgumentParser(description="Serve the operator tests of the ONNX project.")
    parser.add_argument("--filter", default="", help="regular expression on kind/name")
    parser.add_argument("--report", type=Path, help="write every model's result as JSON")
    options = parser.parse_args(arguments)
    cases = [c for c in load_cases() if re.search(options.filter, f"{c.kind}/{c.name}")]
    with tempfile.TemporaryDirectory() as folder:
        results = list(run_cases(cases, Path(folder)))
    print_results(results)
    if options.report is not None:
        options.report.write_bytes(msgspec.json.format(msgspec.json.encode(results)) + b"\n")
    return int(any(result.outcome is Outcome.FAILED for result in results))


if __name__ == "__main__":
    sys.exit(main())
