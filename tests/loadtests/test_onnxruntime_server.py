"""The published C++ server is started as it documents, given its session, and held to its answer.

A stand-in takes its place: no package brings the server itself.
"""

import json
import sys
from pathlib import Path

import pytest

from loadtests import subjects
from loadtests.errors import LoadTestError
from loadtests.measure import Material, aim
from loadtests.model import Trained, train
from loadtests.server import run_server
from loadtests.shot import Shot
from loadtests.subjects import BUILT, ONNXRUNTIME_SERVER, fill
from loadtests.workloads import W1

# Like the server, it reads its port as a signed number of 16 bits, takes a model from its folder,
# and answers only from a session that was created.
STAND_IN = """#!{python}
import json, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
options = dict(word.split("=", 1) for word in sys.argv[1:])
assert -2**15 <= int(options["--http-port"]) < 2**15
created = set()

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, content = 404, {{"error": "session not found"}}
        if self.path == "/api/sessions":
            model = Path(options["--model-dir"], sent["model"], sent["version"], "model.onnx")
            assert model.read_bytes() == b"a model"
            created.add(sent["model"] + "/" + sent["version"])
            status, content = 200, sent
        elif self.path.removeprefix("/api/sessions/") in created:
            assert len(sent["X"][0]) == 30
            status, content = 200, {answer}
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(content).encode())

HTTPServer(("127.0.0.1", int(options["--http-port"])), Handler).serve_forever()
"""


def shot_at(folder: Path, trained: Trained, probabilities: list[float]) -> Shot:
    program = folder / "onnxruntime_server"
    answer = {"label": [1], "probabilities": [probabilities]}
    program.write_text(STAND_IN.format(python=sys.executable, answer=json.dumps(answer)))
    program.chmod(0o755)
    model = folder / "model.onnx"
    model.write_bytes(b"a model")
    [subject] = subjects.choose([ONNXRUNTIME_SERVER])
    material = Material(trained=trained, model_file=model, data_dir=folder, key="k")
    command = fill(subject, data_dir=folder, model_file=model, workers=1)
    environment = {BUILT: str(program)}
    with run_server(command, folder / "log", environment=environment) as server:
        return aim(subject, W1, material, server)


def test_its_session_is_created_and_its_first_answer_is_checked(tmp_path: Path) -> None:
    trained = train()
    shot = shot_at(tmp_path, trained, trained.probabilities)
    assert json.loads(shot.piece) == [trained.probabilities]


def test_a_wrong_first_answer_of_it_stops_the_session(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match="not what scikit-learn says"):
        shot_at(tmp_path, train(), [0.5, 0.5])
