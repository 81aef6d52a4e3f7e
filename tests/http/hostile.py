"""Bodies of inference that are wrong, each with the code it is refused with."""

import json
from typing import Any

import msgspec
from msgspec import Struct

DEEP = 100_000


class Hostile(Struct, frozen=True):
    """A body, the model it is sent to, and the code of its refusal.

    `header_length` is what the header Inference-Header-Content-Length says, if it is sent.
    """

    name: str
    body: bytes
    code: str
    model: str = "linear"
    is_cheap: bool = True
    header_length: str | None = None

    @property
    def headers(self) -> dict[str, str]:
        if self.header_length is None:
            return {}
        return {"inference-header-content-length": self.header_length}


def _input(**members: Any) -> dict[str, Any]:
    return {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]} | members


def _body(*inputs: Any, **members: Any) -> bytes:
    return json.dumps({"inputs": list(inputs) or [_input()], **members}).encode()


def _raw(
    data: str = "[1,2,3]", shape: str = "[1,3]", datatype: str = "FP32", more: str = ""
) -> bytes:
    member = f'"name":"x","shape":{shape},"datatype":"{datatype}","data":{data}'
    return f'{{"inputs":[{{{member}}}]{more}}}'.encode()


def _deep(opening: str, closing: str) -> str:
    return opening * DEEP + closing * DEEP


_FINE = _body()
_UNREADABLE = [
    Hostile("empty", b"", "empty-body"),
    Hostile("only blanks", b" \r\n\t", "empty-body"),
    *(
        Hostile(f"cut at {at}", _FINE[:at], "malformed-json")
        for at in (1, 5, 20, 60, len(_FINE) - 1)
    ),
    Hostile("something follows", _FINE + b"{}", "malformed-json"),
    Hostile("no JSON", b"hello", "malformed-json"),
    Hostile("XML", b"<inputs/>", "malformed-json"),
    Hostile("random", bytes(range(256)), "malformed-json"),
    Hostile("single quotes", _FINE.replace(b'"', b"'"), "malformed-json"),
    Hostile("a trailing comma", _FINE[:-1] + b",}", "malformed-json"),
    Hostile("a byte that is no UTF-8", _body(id="?").replace(b"?", b"\xff"), "malformed-json"),
    Hostile("overlong UTF-8", _body(id="?").replace(b"?", b"\xc0\xaf"), "malformed-json"),
    Hostile("a surrogate in UTF-8", _body(id="?").replace(b"?", b"\xed\xa0\x80"), "malformed-json"),
    Hostile("a lone surrogate", _body(id="?").replace(b"?", rb"\ud800"), "malformed-json"),
    Hostile(
        "surrogates in disorder", _body(id="?").replace(b"?", rb"\udc00\ud800"), "malformed-json"
    ),
    Hostile("a byte order mark", b"\xef\xbb\xbf" + _FINE, "malformed-json"),
    Hostile("UTF-16", _FINE.decode().encode("utf-16"), "malformed-json"),
    Hostile("a NUL in a text", _body(id="?").replace(b"?", b"\x00"), "malformed-json"),
    Hostile("NaN", _raw("[NaN,1,2]"), "malformed-json"),
    Hostile("Infinity", _raw("[1,-Infinity,2]"), "malformed-json"),
    Hostile("a key twice", _FINE[:-1] + b',"inputs":[]}', "duplicate-key"),
    Hostile("a key twice, escaped", _FINE[:-1] + rb',"\u0069nputs":[]}', "duplicate-key"),
    Hostile("data twice", _raw('[1,2,3],"data":[9,9,9]'), "duplicate-key"),
]
_DEEP = [
    Hostile("deep arrays", _deep("[", "]").encode(), "bad-request"),
    Hostile("deep arrays, open", b"[" * DEEP, "bad-request"),
    Hostile("deep objects", _deep('{"a":', "}").replace(":}", ":1}").encode(), "too-deep"),
    Hostile("deep data", _raw(_deep("[", "]")), "too-deep"),
    Hostile("deep shape", _raw(shape=_deep("[", "]")), "too-deep"),
    Hostile("deep parameters", _raw(more=f',"parameters":{_deep("[", "]")}'), "too-deep"),
    Hostile("deep outputs", _raw(more=f',"outputs":{_deep("[", "]")}'), "too-deep"),
    Hostile("deep unknown member", _raw(more=f',"unknown":{_deep("[", "]")}'), "too-deep"),
    Hostile("deep data, few levels", _raw("[" * 65 + "1" + "]" * 65), "too-deep"),
]
_WRONG_MESSAGE = [
    *(Hostile(f"the body is {body}", body.encode(), "bad-request") for body in
      ("null", "1", '"x"', "[]", "true", "{}", '{"inputs":null}', '{"inputs":{}}',
       '{"inputs":[1]}')),
    Hostile("a long id", _body(id="x" * 257), "bad-id"),
    Hostile("a number as id", _body(id=7), "bad-id"),
    Hostile("parameters in a list", _body(parameters=[1]), "bad-parameters"),
    Hostile("nested parameters", _body(parameters={"a": {"b": 1}}), "bad-parameters"),
    Hostile("a huge parameter", _body(parameters={"a": 2**64}), "bad-parameters"),
    Hostile("an unknown output", _body(outputs=[{"name": "z"}]), "bad-outputs"),
    Hostile("an output twice", _body(outputs=[{"name": "y"}] * 2), "bad-outputs"),
    Hostile("30,000 outputs", _body(outputs=[{"name": "y"}] * 30_000), "bad-outputs",
            is_cheap=False),
    Hostile("outputs as texts", _body(outputs=["y"]), "bad-outputs"),
    Hostile("outputs in an object", _body(outputs={"name": "y"}), "bad-outputs"),
    Hostile("no input", b'{"inputs":[]}', "missing-input"),
    Hostile("another input", _body(_input(), _input(name="z")), "unexpected-input"),
    Hostile("the input twice", _body(_input(), _input()), "duplicate-input"),
    Hostile("an input without name", _body(_input(), {"shape": [1]}), "unnamed-input"),
    Hostile("1,000 inputs", _body(*(_input(name=f"z{n}") for n in range(1000))), "invalid-input"),
    Hostile("no data", _body({"name": "x", "shape": [1, 3], "datatype": "FP32"}), "missing-data"),
]  # fmt: skip
_SHAPES = [
    *(Hostile(f"the shape {shape}", _raw(shape=shape), "bad-shape") for shape in
      ("null", "3", '"3"', "{}", "[-1,3]", "[1,-5]", "[1.0,3]", '["1",3]', "[true,3]", "[null]",
       f"[1,{2**63}]", f"[1,{2**64}]", f"[{'9' * 400},3]", "[[1],3]",
       f"[{','.join('1' * 70)}]")),
    *(Hostile(f"the shape {shape}", _raw(shape=shape), "shape-not-accepted") for shape in
      ("[]", "[3]", "[1,1,3]", "[3,1]", "[0,0]")),
    Hostile("a shape of 5,000 digits", _raw(shape=f"[{'9' * 5000},3]"), "bad-request"),
    Hostile("an infinite shape", _raw(shape="[1e400,3]"), "bad-request"),
    Hostile("elements that wrap 64 bits", _raw(shape=f"[16,{2**60 + 2}]"), "shape-too-large"),
    Hostile("bytes that wrap 64 bits", _raw(shape=f"[{2**60 + 2},3]"), "shape-too-large"),
    *(Hostile(f"the data {data}", _raw(data), "shape-data-mismatch") for data in
      ("[1,2]", "[1,2,3,4]", "[]", "[[1,2]]", "[[1,2,3],[4,5,6]]", "[[1,2],[3]]", "[[],1]", "1",
       '"abc"', "{}", "null", "[[1],[2],[3]]", "[1,[2],3]")),
]  # fmt: skip
_VALUES = [
    *(Hostile(f"the number {number[:9]}", _raw(f"[{number},1,2]"), "number-out-of-range")
      for number in ("1e400", "-1e400", "1e39", "9" * 5000, "9" * 400)),
    Hostile("a text for a number", _raw('["a",1,2]'), "dtype-mismatch"),
    Hostile("a truth for a number", _raw("[true,1,2]"), "dtype-mismatch"),
    Hostile("an object for a number", _raw("[{},1,2]"), "dtype-mismatch"),
    *(Hostile(f"{number} for UINT8", _raw(f"[[{number}]]", "[1,1]", "UINT8"), "dtype-mismatch",
              "identity-UINT8") for number in ("1.5", "300", "-1", "true", "null", '"1"')),
    Hostile("5,000 digits for INT64", _raw("[[" + "9" * 5000 + "]]", "[1,1]", "INT64"),
            "number-out-of-range", "identity-INT64"),
    Hostile("1 for BOOL", _raw("[[1]]", "[1,1]", "BOOL"), "dtype-mismatch", "identity-BOOL"),
    Hostile("1 for BYTES", _raw("[[1]]", "[1,1]", "BYTES"), "dtype-mismatch", "identity-BYTES"),
    *(Hostile(f"the datatype {name!r}", _body(_input(datatype=name)), "bad-datatype")
      for name in ("FP128", "fp32", "", None, 32, ["FP32"], {"a": 1})),
    Hostile("another datatype", _body(_input(datatype="INT64")), "dtype-mismatch"),
    Hostile("too many texts", _raw("[]", f"[{(1 << 20) + 1},1]", "BYTES"), "too-many-elements",
            "identity-BYTES"),
    Hostile("every value wrong", _raw(json.dumps(["a"] * 30_000), "[10000,3]"), "dtype-mismatch",
            is_cheap=False),
]  # fmt: skip


def _binary(
    name: str, code: str, rest: bytes = bytes(12), model: str = "linear", **members: Any
) -> Hostile:
    """A body with one binary input, as `members` change it, and `rest` behind its JSON."""
    sent = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
    head = _body(sent | {"parameters": {"binary_data_size": len(rest)}} | members)
    return Hostile(name, head + rest, code, model, header_length=str(len(head)))


def _sized(size: Any) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": size}}


def _texts(name: str, rest: bytes, count: int = 1) -> Hostile:
    shape = [count, 1]
    return _binary(name, "bad-bytes", rest, "identity-BYTES", shape=shape, datatype="BYTES")


_BINARY = [
    *(Hostile(f"a header of {value[:20]!r}", _FINE, "bad-binary-header", header_length=value)
      for value in ("99999999999", "-1", "abc", "1.5", "0x10", "9" * 5000, str(len(_FINE) + 1))),
    Hostile("a header inside the JSON", _FINE, "malformed-json", header_length="20"),
    Hostile("a size without a header", _body(_input() | _sized(12)), "bad-binary-header"),
    *(_binary(f"the size {size}", "bad-binary-size", **_sized(size))
      for size in (11, 13, 0, -12, 2**31, 2**63, 2**64, 12.0, "12", None, True, [12])),
    _binary("a body cut off", "bad-binary-size", bytes(11), **_sized(12)),
    _binary("bytes left over", "bad-binary-size", bytes(13), **_sized(12)),
    _binary("data and a size", "bad-binary-size", data=[1, 2, 3]),
    _binary("a shape that is larger", "bad-binary-size", shape=[2, 3]),
    _binary("a shape that wraps", "shape-too-large", shape=[2**60 + 2, 3]),
    _binary("another datatype", "dtype-mismatch", datatype="INT32"),
    _binary("a truth of 2", "dtype-mismatch", b"\0\2", "identity-BOOL", shape=[1, 2],
            datatype="BOOL"),
    _texts("a length past the end", b"\2\0\0\0x"),
    _texts("a length of 2**32-1", b"\xff\xff\xff\xffx"),
    _texts("half a length", b"\1\0"),
    _texts("a text too few", b"\1\0\0\0x", 2),
    _texts("a text too many", b"\0\0\0\0\0\0\0\0"),
    _texts("a text that is no UTF-8", b"\1\0\0\0\xff"),
    _binary("too many texts", "too-many-elements", b"", "identity-BYTES",
            shape=[(1 << 20) + 1, 1], datatype="BYTES"),
    Hostile("a raw body of two rows", bytes(24), "bad-binary-size", header_length="0"),
    Hostile("a raw body for two inputs", bytes(8), "not-raw", "two", header_length="0"),
    Hostile("a sequence", _body(parameters={"sequence_id": 1}), "reserved-parameter"),
    Hostile("a negative timeout", _body(parameters={"timeout": -1}), "bad-parameters"),
    Hostile("classes of -1", _body(outputs=[{"name": "y", "parameters": {"classification": -1}}]),
            "bad-outputs"),
]  # fmt: skip

BODIES = [*_UNREADABLE, *_DEEP, *_WRONG_MESSAGE, *_SHAPES, *_VALUES, *_BINARY]
CHEAP = [hostile for hostile in BODIES if hostile.is_cheap and len(hostile.body) < 10_000]
FINE = _FINE
assert msgspec.json.decode(FINE)
