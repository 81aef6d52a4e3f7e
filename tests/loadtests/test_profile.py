"""The profile adds up what py-spy saw."""

from loadtests.profile import gather, tabulate

STACKS = [
    "main (gateway/worker.py:9);run (uvloop/loop.pyx);infer (/x/gateway/pipeline.py:80) 30",
    "main (gateway/worker.py:9);infer (/x/gateway/pipeline.py:71);infer (/y/a/pipeline.py:71) 10",
]


def test_waiting_for_work_is_no_time_spent() -> None:
    waiting = "_bootstrap (threading.py:9);_worker (concurrent/futures/thread.py:81) 500"
    assert gather([*STACKS, waiting]) == gather(STACKS)


def test_time_counts_once_for_each_function_that_is_under_way() -> None:
    own, whole, total = gather(STACKS)
    assert total == 40
    assert own == {"gateway/pipeline.py infer": 30, "a/pipeline.py infer": 10}
    assert whole["gateway/worker.py main"] == 40
    assert whole["gateway/pipeline.py infer"] == 40


def test_the_page_begins_with_the_dearest() -> None:
    assert (
        next(iter(tabulate("W1", *gather(STACKS)).columns[0].cells)) == "gateway/pipeline.py infer"
    )
