"""Each answer leaves after the sync that covers its record: read off one list of system calls."""

import re
from pathlib import Path

import pytest
from msgspec import Struct

from registry.audit.segment import SUFFIX
from registry.registry import Registry
from tests.builders import add_key, linear_model, publish, serving
from tests.crash.ledger import Callers
from tests.crash.processes import children
from tests.crash.traced import tracing

ANSWERS = 200
LONGEST_TEXT = 100_000  # bytes of a call's argument; a group of records is shorter
_LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\(\d+<([^>]*)>)(.*)")
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
_ANSWERED = re.compile(rf"x-record-id: ({_ID.pattern})")


class Order(Struct, frozen=True):
    """How many answers left, and the records of those that left before their sync had returned."""

    answers: int
    early: list[str]


@pytest.mark.parametrize(
    ("module", "is_early"), [("gateway.cli", False), ("tests.crash.hasty", True)]
)
def test_an_answer_leaves_after_the_sync_of_its_record(
    tmp_path: Path, registry: Registry, module: str, is_early: bool
) -> None:
    publish(registry, "sum", linear_model())
    token = add_key(registry)
    log = tmp_path / "calls"
    shown = ("-y", "-s", str(LONGEST_TEXT), "-e", "trace=pwrite64,fdatasync,write")

    with serving(tmp_path, module=module) as gateway:
        [worker] = children(gateway, module.replace("cli", "worker"))
        with tracing(worker, *shown, log=log), Callers(gateway.url, token, "sum") as callers:
            callers.wait_for_answers(ANSWERS)

    order = read_order(log)
    assert order.answers >= ANSWERS
    assert bool(order.early) is is_early, order.early


def read_order(log: Path) -> Order:
    """Follow records from their write over its sync to their answer.

    strace shows a call that others interrupt in two lines, its begin and its end: a write counts
    from its end, a sync covers what was written before it began and counts from its end, and an
    answer counts from its begin.
    """
    written: set[str] = set()
    durable: set[str] = set()
    answers: list[str] = []
    early: list[str] = []
    open_calls: dict[str, tuple[str, str, set[str]]] = {}  # by thread: call, arguments, covered
    for line in log.read_text().splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, _, begun, target, rest = match.groups()
        if begun:
            open_calls[thread] = (begun, rest if target.endswith(SUFFIX) else "", set(written))
            if begun == "write":
                answered = _ANSWERED.findall(rest)
                answers += answered
                early += [record for record in answered if record not in durable]
        if line.endswith("<unfinished ...>") or thread not in open_calls:
            continue
        call, arguments, covered = open_calls.pop(thread)
        if call == "pwrite64":
            written.update(_ID.findall(arguments))
        elif call == "fdatasync" and rest.endswith("= 0"):
            durable |= covered
    return Order(len(answers), early)
