"""What records and answers say of the rules that were broken."""

from collections.abc import Iterable

from msgspec.json import encode as encode_json

from gateway.contract.violations import Violations
from gateway.protocol.messages import Parameter
from gateway.protocol.refusal import Violation, label

MOST_LABEL_BYTES = 9 << 10  # of each of the four lists in a record, whose leaf is limited


def labels_for_record(violations: Iterable[Violation]) -> tuple[str, ...]:
    """Name what was broken, the first as far as there is room: names of inputs may be long."""
    labels: list[str] = []
    room = MOST_LABEL_BYTES
    for one in map(label, violations):
        room -= len(encode_json(one)) + 1
        if room < 0:
            break
        labels.append(one)
    return tuple(labels)


def parameters_for_answer(violations: Violations) -> dict[str, Parameter]:
    """Say in an answer what was flagged and what was repaired."""
    told = {"flags": violations.flagged, "repaired": violations.repaired}
    return {name: ", ".join(map(label, broken)) for name, broken in told.items() if broken}
