"""Requests of inference that are wrong, by the rows of the table in `test_hostile_rows.py`.

Here are those whose JSON is wrong; the modules beside it hold other forms, names and framing.
"""

import json
from typing import Any

from msgspec import Struct

DEEP = 100_000
INFER = b"/v2/models/%s/infer"
KEY = b"@KEY@"  # where the key of the caller goes


class Hostile(Struct, frozen=True):
    """One request, as bytes, and what becomes of it.

    `code` is that of the refusal, None where the answer has no body of ours. `is_recorded` says
    that the refusal has a record, `ends` that the connection ends with it (None: it waits for what
    was announced), `is_cheap` that it may be sent a hundred times. `drip` follows byte by byte.
    """

    row: int
    name: str
    raw: bytes
    status: int = 400
    code: str | None = None
    is_recorded: bool = False
    ends: bool | None = False
    is_cheap: bool = True
    drip: bytes = b""

    def to_bytes(self, token: str) -> bytes:
        return self.raw.replace(KEY, token.encode())


def head(path: bytes, *headers: bytes, method: bytes = b"POST") -> bytes:
    """Write the head of a request that has a host and a key."""
    lines = [method + b" " + path + b" HTTP/1.1", b"host: x", b"authorization: Bearer " + KEY]
    return b"\r\n".join([*lines, *headers, b"", b""])


def post(body: bytes, *headers: bytes, path: bytes = INFER % b"linear") -> bytes:
    return head(path, b"content-length: %d" % len(body), *headers) + body


def make_input(**members: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]} | members


def make_body(*inputs: Any, **members: Any) -> bytes:
    return json.dumps({"inputs": list(inputs) or [make_input()], **members}).encode()


FINE = make_body()


def _wrong(
    row: int, name: str, body: bytes, code: str, model: str = "linear", *, is_cheap: bool = True
) -> Hostile:
    raw = post(body, path=INFER % model.encode())
    return Hostile(row, name, raw, code=code, is_recorded=True, is_cheap=is_cheap)


def _raw(
    data: str = "[1,2,3]", shape: str = "[1,3]", datatype: str = "FP32", more: str = ""
) -> bytes:
    member = f'"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}'
    return f'{{"inputs":[{{{member}}}]{more}}}'.encode()


def _deep(opening: str, closing: str, levels: int = DEEP) -> str:
    return opening * levels + closing * levels


def _id(text: bytes) -> bytes:
    return make_body(id="?").replace(b"?", text)


_UNREADABLE = [
    *(_wrong(1, f"cut at {at}", FINE[:at], "malformed-json") for at in (1, 5, 20, 60)),
    _wrong(1, "cut at the end", FINE[:-1], "malformed-json"),
    _wrong(1, "something follows", FINE + b"{}", "malformed-json"),
    _wrong(1, "no JSON", b"hello", "malformed-json"),
    _wrong(1, "XML", b"<inputs/>", "malformed-json"),
    _wrong(1, "random", bytes(range(256)), "malformed-json"),
    _wrong(1, "single quotes", FINE.replace(b'"', b"'"), "malformed-json"),
    _wrong(1, "a trailing comma", FINE[:-1] + b",}", "malformed-json"),
    _wrong(1, "a NUL in a text", _id(b"\x00"), "malformed-json"),
    *(_wrong(1, f"the body is {body}", body.encode(), "bad-request") for body in
      ("null", "1", '"x"', "[]", "true", "{}", '{"inputs":null}', '{"inputs":{}}',
       '{"inputs":[1]}')),
    _wrong(2, "empty", b"", "empty-body"),
    _wrong(2, "only blanks", b" \r\n\t", "empty-body"),
    _wrong(3, "NaN", _raw("[NaN,1,2]"), "malformed-json"),
    _wrong(3, "Infinity", _raw("[1,-Infinity,2]"), "malformed-json"),
    *(_wrong(4, f"the number {number}", _raw(f"[{number},1,2]"), "number-out-of-range")
      for number in ("1e400", "-1e400", "1e39")),
    *(_wrong(5, f"{digits} digits", _raw(f"[{'9' * digits},1,2]"), "number-out-of-range")
      for digits in (400, 5000)),
    _wrong(5, "5,000 digits for INT64", _raw(f"[[{'9' * 5000}]]", "[1,1]", "INT64"),
           "number-out-of-range", "identity-INT64"),
    *(_wrong(6, f"{value} for UINT8", _raw(f"[[{value}]]", "[1,1]", "UINT8"), "dtype-mismatch",
             "identity-UINT8") for value in ("1.5", "300", "-1", "true", "null", '"1"')),
    _wrong(6, "true for INT32", _raw("[[true]]", "[1,1]", "INT32"), "dtype-mismatch",
           "identity-INT32"),
    _wrong(6, "1 for BOOL", _raw("[[1]]", "[1,1]", "BOOL"), "dtype-mismatch", "identity-BOOL"),
    _wrong(6, "a text for a number", _raw('["a",1,2]'), "dtype-mismatch"),
    _wrong(6, "a truth for a number", _raw("[true,1,2]"), "dtype-mismatch"),
    _wrong(6, "an object for a number", _raw("[{},1,2]"), "dtype-mismatch"),
    _wrong(6, "every value wrong", _raw(json.dumps(["a"] * 30_000), "[10000,3]"),
           "dtype-mismatch", is_cheap=False),
    _wrong(7, "deep arrays", _deep("[", "]").encode(), "bad-request"),
    _wrong(7, "deep arrays, open", b"[" * DEEP, "bad-request"),
    _wrong(7, "deep objects", _deep('{"a":', "}").replace(":}", ":1}").encode(), "too-deep"),
    _wrong(7, "deep data", _raw(_deep("[", "]")), "too-deep"),
    _wrong(7, "deep shape", _raw(shape=_deep("[", "]")), "too-deep"),
    _wrong(7, "deep parameters", _raw(more=f',"parameters":{_deep("[", "]")}'), "too-deep"),
    _wrong(7, "deep outputs", _raw(more=f',"outputs":{_deep("[", "]")}'), "too-deep"),
    _wrong(7, "deep unknown member", _raw(more=f',"unknown":{_deep("[", "]")}'), "too-deep"),
    _wrong(7, "65 levels", _raw(_deep("[", "]", 65).replace("[]", "[1]")), "too-deep"),
    _wrong(8, "a byte that is no UTF-8", _id(b"\xff"), "malformed-json"),
    _wrong(8, "overlong UTF-8", _id(b"\xc0\xaf"), "malformed-json"),
    _wrong(8, "a surrogate in UTF-8", _id(b"\xed\xa0\x80"), "malformed-json"),
    _wrong(9, "a lone surrogate", _id(rb"\ud800"), "malformed-json"),
    _wrong(9, "surrogates in disorder", _id(rb"\udc00\ud800"), "malformed-json"),
    _wrong(9, "a byte order mark", b"\xef\xbb\xbf" + FINE, "malformed-json"),
    _wrong(9, "UTF-16", FINE.decode().encode("utf-16"), "malformed-json"),
    _wrong(10, "a key twice", FINE[:-1] + b',"inputs":[]}', "duplicate-key"),
    _wrong(10, "a key twice, escaped", FINE[:-1] + rb',"\u0069nputs":[]}', "duplicate-key"),
    _wrong(10, "data twice", _raw('[1,2,3],"data":[9,9,9]'), "duplicate-key"),
    # Clients of the protocol send members that it does not name.
    Hostile(11, "an unknown member", post(make_body(model_name="linear", unknown=[{}])), 200),
]  # fmt: skip
_MESSAGES = [
    _wrong(12, "the input twice", make_body(make_input(), make_input()), "duplicate-input"),
    _wrong(18, "no datatype", make_body({"name": "x", "shape": [1, 3], "data": [1, 2, 3]}),
           "bad-datatype"),
    *(_wrong(18, f"the datatype {name!r}", make_body(make_input(datatype=name)), "bad-datatype")
      for name in ("FP128", "fp32", "", None, 32, ["FP32"], {"a": 1})),
    _wrong(18, "another datatype", make_body(make_input(datatype="INT64")), "dtype-mismatch"),
    _wrong(19, "no input", b'{"inputs":[]}', "missing-input"),
    _wrong(19, "another input", make_body(make_input(), make_input(name="z")), "unexpected-input"),
    _wrong(19, "an input without name", make_body(make_input(), {"shape": [1]}), "unnamed-input"),
    _wrong(19, "1,000 inputs", make_body(*(make_input(name=f"z{n}") for n in range(1000))),
           "invalid-input"),
    _wrong(19, "no data", make_body({"name": "x", "shape": [1, 3], "datatype": "FP32"}),
           "missing-data"),
    _wrong(19, "a long id", make_body(id="x" * 257), "bad-id"),
    _wrong(19, "a number as id", make_body(id=7), "bad-id"),
    _wrong(19, "parameters in a list", make_body(parameters=[1]), "bad-parameters"),
    _wrong(19, "nested parameters", make_body(parameters={"a": {"b": 1}}), "bad-parameters"),
    _wrong(19, "a huge parameter", make_body(parameters={"a": 2**64}), "bad-parameters"),
    _wrong(19, "a sequence", make_body(parameters={"sequence_id": 1}), "reserved-parameter"),
    _wrong(19, "a negative timeout", make_body(parameters={"timeout": -1}), "bad-parameters"),
    _wrong(25, "classes of -1",
           make_body(outputs=[{"name": "y", "parameters": {"classification": -1}}]), "bad-outputs"),
    _wrong(25, "an unknown output", make_body(outputs=[{"name": "z"}]), "bad-outputs"),
    _wrong(25, "an output twice", make_body(outputs=[{"name": "y"}] * 2), "bad-outputs"),
    _wrong(25, "30,000 outputs", make_body(outputs=[{"name": "y"}] * 30_000), "bad-outputs",
           is_cheap=False),
    _wrong(25, "100,000 outputs", make_body(outputs=[{}] * 100_000), "bad-outputs",
           is_cheap=False),
    _wrong(25, "outputs as texts", make_body(outputs=["y"]), "bad-outputs"),
    _wrong(25, "outputs in an object", make_body(outputs={"name": "y"}), "bad-outputs"),
    _wrong(27, "texts for numbers", _raw('["1","2","3"]', datatype="BYTES"), "dtype-mismatch"),
    _wrong(27, "a number for a text", _raw("[[1]]", "[1,1]", "BYTES"), "dtype-mismatch",
           "identity-BYTES"),
    _wrong(27, "ten million texts", _raw("[]", "[10000000,1]", "BYTES"), "too-many-elements",
           "identity-BYTES"),
]  # fmt: skip
_SHAPES = [
    _wrong(13, "elements that wrap 64 bits", _raw(shape=f"[16,{2**60 + 2}]"), "shape-too-large"),
    _wrong(14, "bytes that wrap 64 bits", _raw(shape=f"[{2**60 + 2},3]"), "shape-too-large"),
    _wrong(14, "4 bytes each", _raw(shape=f"[4,{2**60 + 2}]"), "shape-too-large"),
    *(_wrong(15, f"the shape {shape}", _raw(shape=shape), "bad-shape") for shape in
      ("null", "3", '"3"', "{}", "[-1,3]", "[1,-5]", "[1.0,3]", '["1",3]', "[true,3]", "[null]",
       f"[1,{2**63}]", f"[1,{2**64}]", f"[{'9' * 400},3]", "[[1],3]",
       f"[{','.join('1' * 70)}]")),
    _wrong(15, "a shape of 5,000 digits", _raw(shape=f"[{'9' * 5000},3]"), "bad-request"),
    _wrong(15, "an infinite shape", _raw(shape="[1e400,3]"), "bad-request"),
    *(_wrong(16, f"the data {data}", _raw(data), "shape-data-mismatch") for data in
      ("[1,2]", "[1,2,3,4]", "[]", "[[1,2]]", "[[1,2,3],[4,5,6]]", "[[1,2],[3]]", "[[],1]", "1",
       '"abc"', "{}", "null", "[[1],[2],[3]]", "[1,[2],3]")),
    *(_wrong(17, f"the shape {shape}", _raw(shape=shape), "shape-not-accepted") for shape in
      ("[]", "[3]", "[1,1,3]", "[3,1]", "[0,0]")),
]  # fmt: skip

BODIES = [*_UNREADABLE, *_MESSAGES, *_SHAPES]
