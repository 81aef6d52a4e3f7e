"""How sure a guard has to be before it says anything: its part of the plan's alpha."""

from typing import Self

from msgspec import Struct

from registry.rollouts import Plan

# Bursts are skewed, which dividing by their dispersion does not quite mend: only this part of alpha
# is spent where a challenger would be promoted that has not met them yet.
_PART_FOR_FINE = 0.4


class Levels(Struct, frozen=True):
    """The error rates of a guard: of saying `worse`, and of saying `non_inferior`."""

    worse: float
    fine: float

    @classmethod
    def of(cls, plan: Plan) -> Self:
        """Share the plan's alpha among all guards in all stages in which they judge."""
        tests = sum(
            guard.judges(is_shadow=plan.shadow is not None and stage == 0)
            for stage in range(len(plan.stages))
            for guard in plan.guards
        )
        return cls(worse=plan.alpha / max(1, tests), fine=plan.alpha * _PART_FOR_FINE)
