"""Scored rows, made without a gateway."""

from collections.abc import Iterable

import numpy as np

from gateway.truth.scoring import Scored, score_row
from registry.truth_policy import Form, Target


def target(form: Form = Form.PROBABILITY, **fields: object) -> Target:
    defaults = {"output": "y", "form": form, "column": None, "classes": (), "threshold": 0.5}
    return Target(**(defaults | fields))  # type: ignore[arg-type]


def scored(probability: float, is_positive: bool) -> Scored:
    found = score_row(target(), [probability], int(is_positive))
    assert isinstance(found, Scored)
    return found


def calibrated(count: int, seed: int, shift: float = 0.0) -> list[Scored]:
    """Rows whose positives are drawn by their probability, its logit moved by `shift`."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(-0.5, 1.2, count)
    draws = rng.random(count)
    return [
        scored(_sigmoid(logit), bool(draw < _sigmoid(logit + shift)))
        for logit, draw in zip(logits.tolist(), draws.tolist(), strict=True)
    ]


def numbers(values: Iterable[float]) -> list[Scored]:
    """Rows whose absolute error is what is given, and whose score is the number itself."""
    return [Scored((abs(one), one * one), score=one) for one in values]


def _sigmoid(logit: float) -> float:
    return float(1 / (1 + np.exp(-logit)))
