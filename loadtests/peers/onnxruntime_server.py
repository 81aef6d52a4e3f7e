"""The C++ server kibae/onnxruntime-server, as its documentation starts it, over HTTP.

No package brings it: whoever measures it builds a release of its repository and names the program
in ONNXRUNTIME_SERVER. It has a thread for each connection, so its number of workers changes nothing
over HTTP; 4 is its own default. Its access log has no switch, so it goes where nothing is kept. The
session is created by whoever asks: POST /api/sessions.

    ONNXRUNTIME_SERVER=PROGRAM python loadtests/peers/onnxruntime_server.py MODEL.onnx PORT
    ONNXRUNTIME_SERVER=PROGRAM python loadtests/peers/onnxruntime_server.py --version
"""

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # as the gateway does

MODEL, VERSION = "cancer", "1"
WORKERS = 4
_LIBRARY = re.compile(r"=> (\S*/libonnxruntime\.so\S*)")
_LIBRARY_VERSION = re.compile(r"\.so\.(\d+\.\d+\.\d+)$")


def lay_out(artifact: Path) -> Path:
    """Put a model where the server looks for it, in a folder beside it, and return that folder."""
    folder = artifact.with_suffix(".models")
    place = folder / MODEL / VERSION / "model.onnx"
    place.parent.mkdir(parents=True, exist_ok=True)
    if not place.exists():
        place.symlink_to(artifact.resolve())
    return folder


def versions(program: Path) -> dict[str, str]:
    """Tell which build of the server this is, which has no version to show, and on which runtime.

    The runtime's version is in the name of the library's file; it is left out where it is not.
    """
    found = {"build": hashlib.sha256(program.read_bytes()).hexdigest()[:12]}
    linked = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    for path in _LIBRARY.findall(linked):
        for version in _LIBRARY_VERSION.findall(str(Path(path).resolve())):
            found["onnxruntime"] = version
    return found


def main() -> None:
    """Become the server, or show what it is."""
    program = Path(os.environ["ONNXRUNTIME_SERVER"])
    if sys.argv[1] == "--version":
        print("\n".join(f"{name} {version}" for name, version in versions(program).items()))
        return
    artifact, port = sys.argv[1:]
    words = [
        str(program),
        f"--model-dir={lay_out(Path(artifact))}",
        f"--http-port={port}",
        f"--workers={WORKERS}",
        "--access-log-file=/dev/null",
        "--log-level=warn",
    ]
    os.execv(words[0], words)


if __name__ == "__main__":
    main()
