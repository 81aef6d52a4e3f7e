"""Names of models and versions that are none, and bodies in forms that are not what they say."""

import gzip
import zlib
from typing import Any

from tests.http.hostile import FINE, INFER, Hostile, head, make_body, make_input, post
from tests.http.world import BODY_LIMIT

_GZIP, _DEFLATE = 31, 15  # as zlib calls them
_BINARY = b"inference-header-content-length: %d"
_VERSION = b"/v2/models/%s/versions/%s/infer"


def _aimed(row: int, name: bytes) -> list[Hostile]:
    """Aim a request that is fine at a model that has no such name, with and without version."""
    paths = (INFER % name, _VERSION % (name, b"1"))
    return [
        Hostile(row, f"the model {name[:20].decode()}", post(FINE, path=path), 404, "not-found")
        for path in paths
    ]


NAMES = [
    *(case for name in (b"../../etc/passwd", b"..%2f..%2fetc%2fpasswd", b"%2e%2e%2f", b"%2e%2e",
                        b"..%5c..%5c", b"%2fetc%2fpasswd", b"linear%2f..%2flinear")
      for case in _aimed(20, name)),
    *(case for name in (b"%00", b"linear%00", b"linear%0a", b"linear%20", b"%", b"%zz")
      for case in _aimed(21, name)),
    *(case for name in (b"%ff", b"%ed%a0%80", b"%e2%80%aeraenil", b"l%D1%96near", b"LINEAR",
                        b"'%20or%201=1--", b"stats")
      for case in _aimed(22, name)),
    *(case for case in _aimed(23, b"x" * 8000)),
    *(Hostile(23, f"the version {version[:9].decode()}",
              post(FINE, path=_VERSION % (b"linear", version)), 404, "not-found")
      for version in (b"01", b"-1", b"0", b"9e9", b"1.0", b"+1", b"1%20", b"%EF%BC%91", b"x",
                      b"9" * 30)),
    *(Hostile(24, f"the version {version.decode()}, which is not served",
              post(FINE, path=_VERSION % (b"linear", version)), 404, "not-found")
      for version in (b"2", b"3")),
]  # fmt: skip


def _binary(
    row: int,
    name: str,
    code: str,
    rest: bytes = bytes(12),
    model: bytes = b"linear",
    **members: Any,
) -> Hostile:
    """Send one input as bytes behind the JSON, as `members` change what is said of it."""
    given = make_input(**{"parameters": {"binary_data_size": len(rest)}, **members})
    if "data" not in members:
        del given["data"]
    message = make_body(given)
    raw = post(message + rest, _BINARY % len(message), path=INFER % model)
    return Hostile(row, name, raw, code=code, is_recorded=True)


def _texts(name: str, data: bytes, count: int = 1) -> Hostile:
    shape = [count, 1]
    return _binary(26, name, "bad-bytes", data, b"identity-BYTES", shape=shape, datatype="BYTES")


def _header(value: bytes, code: str = "bad-binary-header") -> Hostile:
    raw = post(FINE, b"inference-header-content-length: " + value)
    return Hostile(28, f"the length {value[:12].decode()}", raw, code=code, is_recorded=True)


def _raw(name: str, data: bytes, code: str, model: bytes = b"linear") -> Hostile:
    raw = post(data, _BINARY % 0, path=INFER % model)
    return Hostile(28, name, raw, code=code, is_recorded=True)


def _sized(size: Any) -> dict[str, Any]:
    return {"parameters": {"binary_data_size": size}}


BINARY = [
    _binary(6, "a byte of 2 for BOOL", "dtype-mismatch", b"\0\2", b"identity-BOOL", shape=[1, 2],
            datatype="BOOL"),
    _binary(14, "bytes that wrap 64 bits", "shape-too-large", shape=[2**60 + 2, 3]),
    _binary(18, "bytes of another datatype", "dtype-mismatch", datatype="INT32"),
    _texts("a length past the end", b"\4\0\0\0abc"),
    _texts("the longest length", b"\xff\xff\xff\xffabc"),
    _texts("half a length", b"\1\0"),
    _texts("a text too few", b"\1\0\0\0a", 2),
    _texts("a text too many", b"\0\0\0\0\0\0\0\0"),
    _texts("no UTF-8", b"\1\0\0\0\xff"),
    _binary(27, "ten million texts in no bytes", "too-many-elements", b"", b"identity-BYTES",
            shape=[10_000_000, 1], datatype="BYTES"),
    *(_header(value) for value in
      (b"99999999999", b"-1", b"abc", b"+3", b"1.5", b"0x10", b"9" * 5000, b"",
       b"%d" % (len(FINE) + 1))),
    _header(b"%d" % (len(FINE) - 1), "malformed-json"),
    _header(b"20", "malformed-json"),
    _header(b"0", "bad-binary-size"),
    Hostile(28, "a size and no header", post(make_body(make_input(**_sized(12)))),
            code="bad-binary-header", is_recorded=True),
    _raw("raw bytes for two inputs", bytes(12), "not-raw", b"two"),
    _raw("raw bytes of two rows", bytes(24), "bad-binary-size"),
    *(_binary(29, f"the size {size}", "bad-binary-size", **_sized(size))
      for size in (8, 11, 13, 16, 0, -1, 2**31, 2**63, 2**64, 12.0, "12", None, True, [12])),
    _binary(29, "a body cut off", "bad-binary-size", bytes(11), **_sized(12)),
    _binary(29, "bytes left over", "bad-binary-size", bytes(13), **_sized(12)),
    _binary(29, "data and a size", "bad-binary-size", data=[1, 2, 3]),
    _binary(29, "a size that is not the shape's", "bad-binary-size", bytes(16)),
    _binary(29, "a shape that is larger", "bad-binary-size", shape=[2, 3]),
]  # fmt: skip


def _bomb(encoding_bits: int, mebibytes: int) -> bytes:
    """Compress blanks that a body would have too many of; whoever reads to the end finds none."""
    packer = zlib.compressobj(9, zlib.DEFLATED, encoding_bits)
    start, more = (
        packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
    )
    return start + more * (mebibytes - 1)


def _encoded(
    name: str, encoding: bytes, body: bytes, status: int = 415, code: str = "unsupported-encoding"
) -> Hostile:
    raw = post(body, b"content-encoding: " + encoding)
    return Hostile(35, name, raw, status, code)


def _typed(kind: bytes) -> Hostile:
    raw = post(FINE, b"content-type: " + kind)
    return Hostile(36, f"the type {kind.decode()}", raw, 415, "unsupported-media-type")


_FORMS = [
    Hostile(33, "over the limit in chunks",
            head(INFER % b"linear", b"transfer-encoding: chunked")
            + (b"10000\r\n" + b" " * 65_536 + b"\r\n") * (BODY_LIMIT // 65_536 + 1) + b"0\r\n\r\n",
            413, "body-too-large", is_cheap=False),
    Hostile(33, "a million chunks of one byte",
            head(INFER % b"linear", b"transfer-encoding: chunked")
            + b"".join(b"1\r\n%c\r\n" % byte for byte in FINE.ljust(1_000_000)) + b"0\r\n\r\n",
            200, is_cheap=False),
    Hostile(34, "a length over the limit, and no body",
            head(INFER % b"linear", b"content-length: %d" % (BODY_LIMIT + 1)),
            413, "body-too-large", ends=None),
    Hostile(34, "an endless length, and no body",
            head(INFER % b"linear", b"content-length: %d" % 2**62), 413, "body-too-large",
            ends=None),
    _encoded("half a GiB in gzip", b"gzip", _bomb(_GZIP, 512), 413, "body-too-large"),
    _encoded("two MiB in gzip", b"gzip", _bomb(_GZIP, 2), 413, "body-too-large"),
    _encoded("two MiB in deflate", b"deflate", _bomb(_DEFLATE, 2), 413, "body-too-large"),
    _encoded("no gzip", b"gzip", FINE, 400, "malformed-encoding"),
    _encoded("half of gzip", b"gzip", gzip.compress(FINE)[:-9], 400, "malformed-encoding"),
    _encoded("gzip and more", b"gzip", gzip.compress(FINE) + b"x", 400, "malformed-encoding"),
    _encoded("no deflate", b"deflate", FINE, 400, "malformed-encoding"),
    _encoded("two encodings", b"deflate, gzip", FINE),
    _encoded("another encoding", b"br", FINE),
    _encoded("an encoding without name", b"", FINE),
    Hostile(35, "no encoding at all", post(FINE, b"content-encoding: Identity"), 200),
    Hostile(36, "no type", post(FINE), 200),
    *(Hostile(36, f"the type {kind.decode()}", post(FINE, b"content-type: " + kind), 200)
      for kind in (b"application/json", b"Application/JSON; charset=utf-8",
                   b"application/octet-stream", b"application/x-www-form-urlencoded")),
    *(_typed(kind) for kind in
      (b"text/plain", b"application/xml", b"text/xml; charset=utf-8", b"multipart/form-data",
       b"\\;", b"application/jsonx", b"x" * 5000)),
]  # fmt: skip

FORMS = [*NAMES, *BINARY, *_FORMS]
