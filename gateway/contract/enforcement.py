"""What the rules of a version do now: what they declare, or less."""

from datetime import datetime

from gateway.contract.cap import RefusalCap
from gateway.contract.violations import Violations
from registry.manifest import Action, Contract
from registry.times import to_us


class Enforcement:
    """Lets rules act as they declare, once they have warmed up and while they are not suspended.

    `cap` is None where no rule rejects, or where rejecting has no cap.
    """

    def __init__(self, contract: Contract, warm_until: datetime | None) -> None:
        self._warm_until_ns = 0 if warm_until is None else to_us(warm_until) * 1000
        rules = (*contract.rules, *contract.outputs)
        does_reject = any(rule.action is Action.REJECT for rule in rules)
        has_cap = does_reject and contract.refusal_cap is not None
        self.cap = RefusalCap(contract.refusal_cap or 1.0) if has_cap else None

    def apply(self, found: Violations, time_ns: int) -> Violations:
        """Return what rules break as they act on a request of that time, since 1970 in UTC."""
        if time_ns < self._warm_until_ns:
            return found.only_observed()
        if found.rejected and self.cap is not None and self.cap.is_suspended:
            return found.only_flagged()
        return found
