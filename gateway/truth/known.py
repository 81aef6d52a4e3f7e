"""What the controller last read of ground truth, in a file: so others can show what it judges by
without reading labels themselves.
"""

from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from registry.rollouts import GuardKind, Rollout, TruthEvidence

# The id of a rollout, and the number of its stage.
Stage = tuple[str, int]
_NAME = "truth.json"


class _Entry(Struct, frozen=True):
    rollout: str
    stage: int
    found: Mapping[int, TruthEvidence]


class KnownTruth:
    """The file in a folder. One process replaces it; any may read."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, known: Mapping[Stage, Mapping[int, TruthEvidence]]) -> None:
        """Replace what was known of all stages, whole or not at all. Raises OSError.

        Not synced: it is read anew once the controller starts anew.
        """
        self._directory.mkdir(mode=0o700, exist_ok=True)
        entries = [_Entry(*stage, found) for stage, found in known.items()]
        scratch = self._directory / f"{_NAME}.new"
        scratch.write_bytes(msgspec.json.encode(entries))
        scratch.replace(self._directory / _NAME)

    def evidence(self, rollout: Rollout, at: datetime) -> Mapping[int, TruthEvidence]:
        """Return what is known of the present stage of a rollout, whenever it was read."""
        if any(guard.kind is GuardKind.TRUTH for guard in rollout.plan.guards):
            for one in self._read():
                if (one.rollout, one.stage) == (rollout.id, rollout.stage):
                    return one.found
        return {}

    def keep_only(self, rollouts: Iterable[Rollout]) -> None:
        """Do nothing: all that is kept is in the file."""

    def _read(self) -> list[_Entry]:
        with suppress(FileNotFoundError, msgspec.DecodeError):  # torn by a power failure
            return msgspec.json.decode((self._directory / _NAME).read_bytes(), type=list[_Entry])
        return []
