"""What is known of a version when somebody asks to promote it, as frozen values."""

from msgspec import Struct

from registry.manifest import Certificate
from registry.rollouts import Assessment, Phase


class HoldingFinding(Struct, frozen=True, kw_only=True):
    """An open finding that holds promotions, by the drift policy of the model."""

    id: str
    feature: str
    statistic: str


class RolloutEvidence(Struct, frozen=True, kw_only=True):
    """What the latest rollout of a version against the present champion showed.

    `assessments` has what was judged as each stage was passed, in the order of the stages; the
    requests are those that the challenger had in them.
    """

    rollout: str
    phase: Phase
    assessments: tuple[Assessment, ...]
    shadow_requests: int
    canary_requests: int


class TruthScore(Struct, frozen=True, kw_only=True):
    """A metric of a version from ground truth that has matured, with its interval."""

    metric: str
    labels: int
    value: float
    low: float
    high: float


class Evidence(Struct, frozen=True, kw_only=True):
    """All that speaks for a version or against it, as far as it was looked for."""

    certificate: Certificate | None = None
    findings: tuple[HoldingFinding, ...] = ()
    rollout: RolloutEvidence | None = None
    truth: tuple[TruthScore, ...] = ()


class Check(Struct, frozen=True, kw_only=True):
    """One thing that is asked of a promotion: what, whether it is there, and what was found.

    `name` is short and stays the same: records name by it what force passed over.
    """

    name: str
    need: str
    is_met: bool
    found: str
