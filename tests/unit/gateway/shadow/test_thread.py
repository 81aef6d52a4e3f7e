"""The thread that runs challengers, and the process that is nothing without it."""

import socket
import subprocess
import sys
from pathlib import Path

from gateway.shadow.marker import Marker
from gateway.shadow.running import FAULT_EXIT
from gateway.shadow.wire import Shadowed, address, encode

# A challenger with a fault of our own program: what it makes of a request is no value.
PROGRAM = """
import asyncio, sys
from pathlib import Path
from gateway.shadow.inbox import Inbox
from gateway.shadow.marker import Marker
from gateway.shadow.results import Results
from gateway.shadow.running import Running

class Faulty:
    def answer(self, shadowed):
        raise MemoryError

async def main(folder):
    inbox = Inbox(folder, print)
    Running(inbox, lambda _: Faulty(), Results(), Marker(folder), print).start()
    inbox.listen()
    print("ready", flush=True)
    await asyncio.sleep(60)

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_fault_in_the_thread_ends_the_process_which_knows_whose_it_was(tmp_path: Path) -> None:
    shadowed = Shadowed("rollout", "live", "key", None, None, 1, b"", b"", 0, None)
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender, address(tmp_path) as name:
            sender.sendto(encode(shadowed), name)
        assert process.wait(30) == FAULT_EXIT

    assert Marker(tmp_path).left == shadowed
