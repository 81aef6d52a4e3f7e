"""A module to be run apart that never ends by itself; the file that it is told gets its id."""

import os
import signal
import sys
from pathlib import Path

from registry.apart import end_with_parent

if __name__ == "__main__":
    end_with_parent()
    Path(sys.stdin.read()).write_text(str(os.getpid()))
    signal.pause()
