"""What is sent and what must come back, in every form that a server speaks."""

import json
from collections.abc import Mapping

import msgspec
import numpy as np
import pytest

from loadtests.errors import LoadTestError
from loadtests.forms import PLAIN_BYTES, SERVICE_JSON, SESSION_JSON, V2_BINARY, V2_JSON, Form
from loadtests.model import Rows

ROWS: Rows = np.array([[0.1, 2.5, -3.0], [4.0, 5.5, 6.0]], np.float32)
WANTED = np.array([[0.25, 0.75], [0.5, 0.5]])
FORMS = [V2_JSON, V2_BINARY, PLAIN_BYTES, SERVICE_JSON, SESSION_JSON]


def sent(form: Form, number: int) -> tuple[dict[str, str], bytes]:
    request = form.ask(ROWS, host="h:1", key="k").numbered(number)
    head, body = request.split(b"\r\n\r\n", 1)
    lines = head.decode().split("\r\n")
    assert lines[0] == f"POST {form.path} HTTP/1.1"
    return dict(line.split(": ", 1) for line in lines[1:]), body


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_two_requests_differ_in_their_id_alone(form: Form) -> None:
    question = form.ask(ROWS, host="h:1", key="k")
    first, second = question.numbered(7), question.numbered(123456789012)
    assert first.replace(b"000000000007", b"123456789012") == second
    assert first != second


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_the_length_that_is_named_is_the_length_that_is_sent(form: Form) -> None:
    headers, body = sent(form, 7)
    assert int(headers["Content-Length"]) == len(body)


def test_rows_reach_a_v2_server_unchanged() -> None:
    _, body = sent(V2_JSON, 7)
    [tensor] = json.loads(body)["inputs"]
    assert tensor["shape"] == [2, 3]
    assert np.array_equal(np.array(tensor["data"], np.float32), ROWS.ravel())


def test_a_session_is_sent_its_inputs_and_nothing_else() -> None:
    _, body = sent(SESSION_JSON, 7)
    [(name, rows)] = json.loads(body).items()
    assert name == "X"
    assert np.array_equal(np.array(rows, np.float32), ROWS)


def test_the_binary_header_ends_where_the_rows_begin() -> None:
    headers, body = sent(V2_BINARY, 7)
    at = int(headers["Inference-Header-Content-Length"])
    assert json.loads(body[:at])["id"] == "000000000007"
    assert body[at:] == ROWS.tobytes()


def v2(data: list[float], name: str = "probabilities") -> bytes:
    outputs = [
        {"name": "label", "shape": [2], "datatype": "INT64", "data": [1, 1]},
        {"name": name, "shape": [2, 2], "datatype": "FP32", "data": data},
    ]
    return json.dumps({"model_name": "m", "outputs": outputs}).encode()


def v2_binary() -> tuple[dict[str, str], bytes, bytes]:
    piece = WANTED.astype(np.float32).tobytes()
    outputs = [
        {"name": "label", "parameters": {"binary_data_size": 16}},
        {"name": "probabilities", "parameters": {"binary_data_size": len(piece)}},
    ]
    head = msgspec.json.encode({"outputs": outputs})
    return {"inference-header-content-length": str(len(head))}, head + bytes(16) + piece, piece


def right_answers() -> list[tuple[Form, Mapping[str, str], bytes, bytes]]:
    headers, binary, piece = v2_binary()
    service = b'{"label": [1, 1], "probabilities": [[0.25, 0.75], [0.5, 0.5]]}'
    return [
        (V2_JSON, {}, v2([0.25, 0.75, 0.5, 0.5]), b"[0.25, 0.75, 0.5, 0.5]"),
        (V2_BINARY, headers, binary, piece),
        (PLAIN_BYTES, {}, bytes(16) + piece, piece),
        (SERVICE_JSON, {}, service, b"[[0.25, 0.75], [0.5, 0.5]]"),
        (SESSION_JSON, {}, service, b"[[0.25, 0.75], [0.5, 0.5]]"),
    ]


@pytest.mark.parametrize("case", right_answers(), ids=lambda case: case[0].name)
def test_the_piece_of_a_right_answer_holds_its_probabilities(
    case: tuple[Form, Mapping[str, str], bytes, bytes],
) -> None:
    form, headers, body, piece = case
    assert form.check(headers, body, WANTED) == piece


@pytest.mark.parametrize("case", right_answers(), ids=lambda case: case[0].name)
def test_a_wrong_first_answer_stops_a_session(
    case: tuple[Form, Mapping[str, str], bytes, bytes],
) -> None:
    form, headers, body, _ = case
    with pytest.raises(LoadTestError, match="not what scikit-learn says"):
        form.check(headers, body, 1 - WANTED + 0.1)


def test_an_answer_to_fewer_rows_is_wrong() -> None:
    with pytest.raises(LoadTestError):
        V2_JSON.check({}, v2([0.25, 0.75]), WANTED)


def test_an_answer_without_probabilities_is_wrong() -> None:
    with pytest.raises(LoadTestError, match="no output"):
        V2_JSON.check({}, v2([0.25, 0.75, 0.5, 0.5], name="scores"), WANTED)
