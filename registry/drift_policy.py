"""What is done where the traffic of a model leaves its reference: the policy, and what it holds.

How soon and how surely that is found is part of it: looks are many, so what is bounded is how often
one of them is wrong.
"""

from collections.abc import Collection
from enum import StrEnum

import msgspec
from msgspec import Struct

from registry.errors import InvalidRequest, clip
from registry.findings import Finding
from registry.reader import Reader
from registry.versions import CHAMPION
from registry.workers import SettingName

_DAY_S = 86_400.0
_MOST_DAYS = 3_650.0
_MOST_ROWS = 1_000_000
_LEAST_LOOKS = 10


class DriftAction(StrEnum):
    """What a finding does, while it is open; each does what those before it do as well."""

    OBSERVE = "observe"  # it is recorded
    ALERT = "alert"  # it is told
    HOLD_PROMOTION = "hold_promotion"  # no version is promoted, unless by force
    ROUTE_TO_FALLBACK = "route_to_fallback"  # the champion before answers in the champion's place


class FeatureDrift(
    Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What of a policy is another for one feature."""

    tolerance: float | None = None
    action: DriftAction | None = None


class DriftPolicy(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How the traffic of a model is held against the reference of its champion.

    A share of rows may differ by `tolerance` from what the reference has. A detector looks every
    `look_s` seconds, once `least_rows` rows have come, and gives on average at most one false alarm
    in `false_alarm_days`. `features` name an input, an output, or one column of it, as in `x[2]`.
    """

    tolerance: float = 0.03
    false_alarm_days: float = 90
    look_s: float = 60
    least_rows: int = 250
    action: DriftAction = DriftAction.ALERT
    features: dict[str, FeatureDrift] = {}

    @property
    def run_length(self) -> float:
        """How many looks there are on average from one false alarm to the next."""
        return self.false_alarm_days * _DAY_S / self.look_s

    def tolerance_of(self, feature: str) -> float:
        given = self._of(feature).tolerance
        return self.tolerance if given is None else given

    def action_of(self, feature: str) -> DriftAction:
        return self._of(feature).action or self.action

    def _of(self, feature: str) -> FeatureDrift:
        """Find what is set for a column, or for the whole input that it is of."""
        found = self.features.get(feature) or self.features.get(feature.partition("[")[0])
        return found or FeatureDrift()


def check_drift_policy(policy: DriftPolicy, known: Collection[str]) -> None:
    """Accept a policy that can be obeyed, of features that are known. Raises InvalidRequest."""
    tolerances = [policy.tolerance, *(one.tolerance for one in policy.features.values())]
    if any(given is not None and not 0 < given < 0.5 for given in tolerances):
        raise _invalid("a tolerance is a share of rows between 0 and 0.5")
    if not 0 < policy.false_alarm_days <= _MOST_DAYS:
        raise _invalid(f"`false_alarm_days` is above 0 and at most {_MOST_DAYS:,.0f}")
    if not 1 <= policy.look_s <= _DAY_S:
        raise _invalid("`look_s` are seconds from 1 to 86,400")
    if policy.run_length < _LEAST_LOOKS:
        raise _invalid(f"`false_alarm_days` are at least {_LEAST_LOOKS} times as long as `look_s`")
    if not 1 <= policy.least_rows <= _MOST_ROWS:
        raise _invalid(f"`least_rows` is a number of rows from 1 to {_MOST_ROWS:,}")
    for name in policy.features:
        if name not in known:
            raise _invalid(f"the model has no feature {clip(name)!r}")


def drift_policy(view: Reader, model: str) -> DriftPolicy:
    """Return what is set for a model, or what holds where nothing is."""
    for one in view.settings():
        if one.name is SettingName.DRIFT and one.model == model:
            return msgspec.json.decode(one.value, type=DriftPolicy)
    return DriftPolicy()


def acting(view: Reader, model: str, *actions: DriftAction) -> list[Finding]:
    """Return the open findings of a model's champion for whose features one of these is done."""
    champion = view.aliases(model).get(CHAMPION)
    found = [one for one in view.findings(model, only_open=True) if one.version == champion]
    if not found:
        return []
    policy = drift_policy(view, model)
    return [one for one in found if policy.action_of(one.feature) in actions]


def holding(view: Reader, model: str) -> list[Finding]:
    """Return the findings that no version of a model may be promoted under."""
    return acting(view, model, DriftAction.HOLD_PROMOTION, DriftAction.ROUTE_TO_FALLBACK)


def _invalid(fault: str) -> InvalidRequest:
    return InvalidRequest("drift-policy", f"This drift policy cannot be obeyed: {fault}.")
