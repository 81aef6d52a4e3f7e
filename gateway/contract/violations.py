"""What one request breaks, by what is done about it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from msgspec import Struct
from msgspec.structs import replace

from gateway.protocol.refusal import MAX_VIOLATIONS, Violation
from registry.manifest import REPAIRS, Action, RuleKind

_REPAIRED_BY = {RuleKind.RANGE: Action.CLIP, RuleKind.MISSING: Action.IMPUTE}


class Violations(Struct, frozen=True):
    """What a request broke, by the action of the rule: at most `MAX_VIOLATIONS` of each.

    `repaired` are those whose value is replaced before the model runs. The totals count all.
    `Violations.NONE` is what a clean request gets.
    """

    rejected: tuple[Violation, ...] = ()
    flagged: tuple[Violation, ...] = ()
    observed: tuple[Violation, ...] = ()
    repaired: tuple[Violation, ...] = ()
    rejected_total: int = 0
    flagged_total: int = 0
    observed_total: int = 0
    repaired_total: int = 0

    NONE: ClassVar["Violations"]

    @property
    def all(self) -> tuple[Violation, ...]:
        return (*self.rejected, *self.flagged, *self.observed, *self.repaired)

    @property
    def total(self) -> int:
        return self.rejected_total + self.flagged_total + self.observed_total + self.repaired_total

    def effects(self) -> set[str]:
        """Name each rule that is broken once, behind what was done: `rejected range distance`."""
        by_effect = {
            "rejected": self.rejected,
            "flagged": self.flagged,
            "observed": self.observed,
            "repaired": self.repaired,
        }
        return {
            f"{f'would-{one.would}' if one.would else effect} {one.rule} {one.input}"
            for effect, violations in by_effect.items()
            for one in violations
        }

    def only_observed(self) -> "Violations":
        """Return these as they are while rules only watch; each says what it would have done."""
        return Violations(
            observed=_first(
                _would(self.rejected, Action.REJECT),
                _would(self.flagged, Action.FLAG),
                (_would_repair(one) for one in self.repaired),
                self.observed,
            ),
            observed_total=self.total,
        )

    def only_flagged(self) -> "Violations":
        """Return these as they are while rules that reject only flag."""
        return replace(
            self,
            rejected=(),
            rejected_total=0,
            flagged=_first(_would(self.rejected, Action.REJECT), self.flagged),
            flagged_total=self.rejected_total + self.flagged_total,
        )

    def and_also(self, other: "Violations") -> "Violations":
        """Return these and others of the same request."""
        if self is Violations.NONE:
            return other
        return Violations(
            rejected=_first(self.rejected, other.rejected),
            flagged=_first(self.flagged, other.flagged),
            observed=_first(self.observed, other.observed),
            repaired=_first(self.repaired, other.repaired),
            rejected_total=self.rejected_total + other.rejected_total,
            flagged_total=self.flagged_total + other.flagged_total,
            observed_total=self.observed_total + other.observed_total,
            repaired_total=self.repaired_total + other.repaired_total,
        )


Violations.NONE = Violations()


def by_action(
    found: Mapping[Action, Sequence[Violation]], totals: Mapping[Action, int]
) -> Violations:
    """Sort what was found by what the rules do."""
    return Violations(
        rejected=tuple(found[Action.REJECT]),
        flagged=tuple(found[Action.FLAG]),
        observed=tuple(found[Action.OBSERVE]),
        repaired=_first(*(found[action] for action in Action if action in REPAIRS)),
        rejected_total=totals[Action.REJECT],
        flagged_total=totals[Action.FLAG],
        observed_total=totals[Action.OBSERVE],
        repaired_total=sum(totals[action] for action in REPAIRS),
    )


def _would(violations: Iterable[Violation], action: Action) -> Iterable[Violation]:
    return (replace(one, would=action.value) for one in violations)


def _would_repair(violation: Violation) -> Violation:
    return replace(violation, would=_REPAIRED_BY[RuleKind(violation.rule)].value)


def _first(*parts: Iterable[Violation]) -> tuple[Violation, ...]:
    joined = [one for part in parts for one in part]
    return tuple(joined[:MAX_VIOLATIONS])
