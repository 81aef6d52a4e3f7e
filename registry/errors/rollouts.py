"""Faults with rollouts and their plans."""

from registry.errors.kinds import Conflict, NotFound, Rejected, clip


class RolloutNotFound(NotFound):
    def __init__(self, rollout_id: str) -> None:
        self.rollout_id = rollout_id
        super().__init__(f"There is no rollout {clip(rollout_id)!r}.")


class NoChampion(Conflict):
    slug = "no-champion"

    def __init__(self, model: str) -> None:
        self.model = model
        super().__init__(
            f"Model {model!r} has no champion that a challenger could be compared with; promote a"
            " version first."
        )


class SignatureDiffers(Conflict):
    slug = "signature-differs"

    def __init__(self, model: str, challenger: int, champion: int, what: str) -> None:
        self.model, self.challenger, self.champion, self.what = model, challenger, champion, what
        super().__init__(
            f"Version {challenger} of {model!r} cannot answer in place of champion {champion}:"
            f" {what}."
        )


class SharesExceeded(Conflict):
    slug = "shares-exceeded"

    def __init__(self, model: str, wanted: int, free: int) -> None:
        self.model, self.wanted, self.free = model, wanted, free
        super().__init__(
            f"The challengers of {model!r} would answer 100 % of the callers or more, and leave the"
            f" champion none to be compared by: {wanted:,} points of 10,000 are asked for, and at"
            f" most {free:,} together are free."
        )


class VersionInRollout(Conflict):
    slug = "version-in-rollout"

    def __init__(self, model: str, version: int, rollout_id: str) -> None:
        self.model, self.version, self.rollout_id = model, version, rollout_id
        super().__init__(
            f"Version {version} of {model!r} is the challenger of the open rollout {rollout_id};"
            " abort that first."
        )


class LatencyUnmeasured(Conflict):
    slug = "latency-unmeasured"

    def __init__(self, model: str, version: int, quantile: float) -> None:
        self.model, self.version, self.quantile = model, version, quantile
        super().__init__(
            f"Quantile {quantile:g} of the latency of champion {version} of {model!r} is not known:"
            " too few of its requests were measured since the gateway started, or it is beyond 10"
            " s. Start once there was more traffic, or say as `edge_ms` of the guard how many"
            " milliseconds are too slow."
        )


class RolloutOver(Conflict):
    slug = "rollout-over"

    def __init__(self, rollout_id: str, phase: str) -> None:
        self.rollout_id, self.phase = rollout_id, phase
        super().__init__(f"Rollout {rollout_id} is over already: it is {phase}.")


class RolloutNotReady(Conflict):
    slug = "rollout-not-ready"

    def __init__(self, rollout_id: str, fault: str) -> None:
        self.rollout_id, self.fault = rollout_id, fault
        super().__init__(f"Rollout {rollout_id} stays as it is: {fault}.")


class PlanRejected(Rejected):
    """A plan of a rollout that cannot be followed: the way to the member to blame, and why.

    `place` has names of members and numbers of elements from 0, as in `("guards", 0, "margin")`.
    """

    slug = "plan-rejected"

    def __init__(self, place: tuple[str | int, ...], fault: str) -> None:
        self.place, self.fault = place, fault
        super().__init__("plan", f"{_part_of_plan(place)}: {fault}.")


def _part_of_plan(place: tuple[str | int, ...]) -> str:
    match place:
        case ("guards", int(number), *_):
            return f"Guard {number + 1} of the plan"
        case ("steps", int(number), *_):
            return f"Step {number + 1} of the plan"
        case ("shadow", *_):
            return "The shadow of the plan"
    return "The plan"
