"""Rollouts as tests start them, and callers whom they give to a challenger or leave alone."""

from itertools import count

from gateway.routing import point
from registry import rolling_out
from registry.registry import Registry
from registry.rollouts import Guard, GuardKind, Plan, Rollout, Step
from tests.builders import AUTHOR

ERRORS = Guard(kind=GuardKind.ERRORS, margin=2.0)


def start_canary(
    registry: Registry,
    model: str,
    *,
    challenger: int = 2,
    points: int = 5_000,
    guards: tuple[Guard, ...] = (ERRORS,),
    shadow: Step | None = None,
) -> Rollout:
    """Give so many callers of a model to a challenger, at once unless it is a shadow first."""
    plan = Plan(challenger=challenger, guards=guards, shadow=shadow, steps=(Step(points=points),))
    edges_us = [1_000_000] * len(guards)
    return rolling_out.start(registry, model, plan, "a test", AUTHOR, edges_us=edges_us)


def caller_of(rollout: Rollout, *, is_canary: bool) -> str:
    """Return the routing key of a caller whom the challenger answers, or does not."""
    for number in count():
        key = f"caller-{number}"
        if (0 <= point(rollout.salt, key) - rollout.base < rollout.points) is is_canary:
            return key
    raise AssertionError
