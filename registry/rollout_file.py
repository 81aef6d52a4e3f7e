"""Plans of rollouts in files, TOML or JSON, and in requests: read with the place of every fault."""

from pathlib import Path

import msgspec
from msgspec import Struct

from registry.errors import (
    AlreadyChampion,
    LatencyUnmeasured,
    PlanRejected,
    RegistryError,
    SharesExceeded,
    SignatureDiffers,
    VersionInRollout,
    VersionNotFound,
    VersionRetired,
    clip,
)
from registry.rollouts import GuardKind, Plan
from registry.source_file import SourceFile, read_misfit, read_source
from registry.source_lines import Place

# What is at fault with the challenger, beyond the plan itself.
_OF_CHALLENGER = (
    AlreadyChampion, SignatureDiffers, VersionInRollout, VersionNotFound, VersionRetired,
)  # fmt: skip


class RolloutFile(Struct, frozen=True):
    """A plan as a file has it, and where in the file each of its members stands."""

    source: SourceFile
    plan: Plan

    def locate(self, fault: RegistryError) -> RegistryError:
        """Say of a fault on which line of the file it is, where it is one of the file."""
        if isinstance(fault, PlanRejected):
            return self.source.fault(fault.place, fault.fault)
        message = str(fault).removesuffix(".")
        if isinstance(fault, _OF_CHALLENGER):
            return self.source.fault(("challenger",), message)
        if isinstance(fault, SharesExceeded):
            return self.source.fault(("steps",), message)
        if isinstance(fault, LatencyUnmeasured):
            at = [(one.kind, one.quantile) for one in self.plan.guards]
            number = at.index((GuardKind.LATENCY, fault.quantile))
            return self.source.fault(("guards", number), message)
        return fault


def read_rollout_file(path: Path) -> RolloutFile:
    """Read a plan from a file that ends in `.toml` or `.json`.

    Whether it can be followed is not asked here. Raises Rejected("plan") with the file, the line
    and the reason.
    """
    source = read_source(path, "plan")
    try:
        return RolloutFile(source, msgspec.convert(source.members, Plan))
    except msgspec.ValidationError as error:
        fault = _misfit(error)
        raise source.fault(fault.place, fault.fault) from error


def parse_plan(content: bytes | msgspec.Raw) -> Plan:
    """Read a plan out of JSON. Raises PlanRejected."""
    try:
        return msgspec.json.decode(content, type=Plan)
    except msgspec.ValidationError as error:
        raise _misfit(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise PlanRejected((), "it is no JSON that can be read") from error


def _misfit(error: msgspec.ValidationError) -> PlanRejected:
    place, reason = read_misfit(str(error))
    if _is_kind(place) and reason.startswith("Invalid enum value "):
        named = reason.removeprefix("Invalid enum value ")
        reason = f"there is no guard {clip(named)}; there are {', '.join(GuardKind)}"
    return PlanRejected(place, reason)


def _is_kind(place: Place) -> bool:
    return place[:1] == ("guards",) and place[-1:] == ("kind",)
