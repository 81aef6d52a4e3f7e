"""wrk is told what to send, and its results are believed only where every answer was right."""

import json
import re
from pathlib import Path

import pytest

from loadtests import wrk
from loadtests.errors import LoadTestError
from loadtests.shot import Question, Shot
from loadtests.wrk import Blow, WrkResult
from tests.loadtests.builders import RESULT, result


def test_the_result_is_found_in_what_wrk_writes() -> None:
    output = f"Running 2s test @ http://x\nRESULT {json.dumps(RESULT)}\nRequests/sec: 4000\n"
    assert wrk.parse(output) == result()
    assert wrk.parse(output).per_second == 4000


def test_a_run_without_a_result_is_an_error() -> None:
    with pytest.raises(LoadTestError, match="unable to connect"):
        wrk.parse("unable to connect to 127.0.0.1\n")


@pytest.mark.parametrize("fault", ["refused", "wrong", "broken"])
def test_one_bad_answer_spoils_a_run(fault: str) -> None:
    with pytest.raises(LoadTestError):
        result(**{fault: 1}).check()


def test_a_run_without_an_answer_is_an_error() -> None:
    with pytest.raises(LoadTestError, match="No answer came within 2 s"):
        result(answers=0, looked=0).check()


def test_a_run_that_looked_at_no_body_proves_nothing() -> None:
    with pytest.raises(LoadTestError):
        result(looked=0).check()


def test_script_and_command_agree(tmp_path: Path) -> None:
    shot = Shot(Question(b"POST /\r\n\r\n", b"tail"), b"[2.0]")
    blow = Blow(connections=8, seconds=2, cores=[1])
    words = wrk.command("wrk", "http://x", shot, blow, tmp_path)
    script = Path(words[words.index("-s") + 1]).read_text()
    used = {int(number) for number in re.findall(r"args\[(\d+)\]", script)}
    assert used == set(range(1, len(words[words.index("--") :])))
    written = re.search(r"RESULT (\{.*?)\\n", script.replace("' ..\n      '", ""))
    assert written is not None
    assert re.findall(r'"(\w+)":%d', written[1]) == list(WrkResult.__struct_fields__)
    files = words[words.index("--") + 1 : -1]
    assert [Path(file).read_bytes() for file in files] == [b"POST /\r\n\r\n", b"tail", b"[2.0]"]
