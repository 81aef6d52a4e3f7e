"""Which processes run."""

import os


def is_running(pid: int) -> bool:
    """Say whether a process of ours with this id runs."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
