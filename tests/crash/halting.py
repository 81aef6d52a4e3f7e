"""Publishes a checkpoint, and kills itself at a given step of that.

python -m tests.crash.halting DATA_DIR STEP
"""

import os
import signal
import sys
from pathlib import Path
from typing import Any

from registry import files
from registry.audit import publisher
from registry.audit.keyfile import KeyFile
from registry.audit.origins import open_log
from registry.store import open_store
from registry.times import now

SIGNED, KEPT, DRAFTED, REPLACED, NEVER = STEPS = (
    "signed",
    "kept",
    "drafted",
    "replaced",
    "never",
)


def halt(*_: Any, **__: Any) -> None:
    """End as a power failure would, but for the page cache."""
    os.kill(os.getpid(), signal.SIGKILL)


def halt_at(step: str) -> None:
    """Let the publisher come as far as this step and no further."""
    if step == SIGNED:
        sign = publisher.sign_note
        publisher.sign_note = lambda *args: (sign(*args), halt())[0]  # type: ignore[assignment]
    elif step == KEPT:
        publisher.put_whole = halt
    elif step == DRAFTED:
        draft = files._draft
        files._draft = lambda *args: (draft(*args), halt())[0]  # type: ignore[assignment]
    elif step == REPLACED:
        files.sync_folder = halt


def main() -> None:
    """Open the log, and publish it once."""
    data_dir, step = Path(sys.argv[1]), sys.argv[2]
    keys, path = KeyFile(data_dir / "log.key"), data_dir / "checkpoint"
    store = open_store(data_dir)
    open_log(store, keys, path, name="gateway.example/log", at=now())
    halt_at(step)
    publisher.Publisher(store, keys, path).publish()
    store.close()


if __name__ == "__main__":
    main()
