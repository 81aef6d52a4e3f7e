"""Results and sessions as load tests bring them, for tests of what is made of them."""

from typing import Any

from loadtests.measure import Closed, Session
from loadtests.openloop import OpenResult
from loadtests.report import Line
from loadtests.subjects import GATEWAY
from loadtests.wrk import WrkResult

RESULT = {
    "answers": 8000, "duration_us": 2_000_000, "p50_us": 900, "p99_us": 4000,
    "refused": 0, "looked": 500, "wrong": 0, "broken": 0,
}  # fmt: skip


def result(**changes: int) -> WrkResult:
    return WrkResult(**(RESULT | changes))


def open_result(**changes: Any) -> OpenResult:
    plain = {
        "wanted_per_second": 1000.0, "answers": 2000, "per_second": 1000.0, "p50_us": 300,
        "p90_us": 600, "p99_us": 900, "max_us": 1500, "late_p99_us": 100,
        "admitted_p99_us": 900, "refused_p99_us": 0, "unanswered": 0,
        "refused": 0, "looked": 125, "wrong": 0, "broken": 0,
    }  # fmt: skip
    return OpenResult(**(plain | changes))


def session(subject: str, number: int, *answers: int, **changes: Any) -> Session:
    """A session that answered so many requests over 32 connections, and over others after that."""
    plain = {
        "subject": subject,
        "workload": "W1",
        "round": number,
        "form": "V2 JSON",
        "closed": [
            Closed(connections=connections, result=result(answers=count))
            for connections, count in zip((32, 1, 128), answers, strict=False)
        ],
        "busy": {"server": 1.0, "others": 0.0},
        "cpu_us": {"worker": 40.0, "controller": 10.0},
        "memory_bytes": {"worker": 100 << 20},
    }
    return Session(**(plain | changes))


def line(ratio: float | None, **changes: Any) -> Line:
    plain = {
        "workload": "W1",
        "subject": GATEWAY,
        "form": "V2 JSON",
        "connections": 32,
        "ratio": ratio,
    }
    return Line(**(plain | changes))
