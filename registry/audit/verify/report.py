"""What a check found, as values."""

import base64
from dataclasses import asdict, dataclass
from typing import Any

from registry.audit.verify.checkpoints import Checkpoint
from registry.audit.verify.faults import Fault


@dataclass(kw_only=True, slots=True)
class Report:
    """What was checked, and the first thing that does not fit; None where everything does.

    `records` are those whose bytes were hashed; `gone` those of which nothing but the hash is left;
    `unsigned` how many of both no checkpoint covers yet; `payloads` those that were compared with
    their commitments; `checkpoints` those whose root was computed anew. Of a receipt `index` is
    the place of its record.
    """

    checkpoint: Checkpoint | None = None
    records: int = 0
    gone: int = 0
    unsigned: int = 0
    payloads: int = 0
    checkpoints: int = 0
    index: int | None = None
    fault: Fault | None = None

    @property
    def is_valid(self) -> bool:
        return self.fault is None

    def told(self) -> dict[str, Any]:
        """Return everything as values that JSON has."""
        said: dict[str, Any] = {"valid": self.is_valid}
        if self.checkpoint is not None:
            said |= {
                "origin": self.checkpoint.origin,
                "size": self.checkpoint.size,
                "root": base64.b64encode(self.checkpoint.root).decode(),
                "signatures": [
                    {"name": one.key.name, "id": one.key.id.hex(), "time": one.time}
                    for one in self.checkpoint.signatures
                ],
            }
        for name in ("index", "records", "gone", "unsigned", "payloads", "checkpoints"):
            said[name] = getattr(self, name)
        return said | {"fault": None if self.fault is None else asdict(self.fault)}
