"""Requests whose framing, head or pace is wrong."""

from tests.http.hostile import FINE, INFER, Hostile, head, post

_PATH = INFER % b"linear"
_LIVE = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"
_CHUNKED = b"transfer-encoding: chunked"


def _ambiguous(row: int, *headers: bytes) -> Hostile:
    """Frame a body in a way that two readers may read differently, and hide a request in it."""
    name = b" and ".join(headers).decode()
    return Hostile(row, name, head(_PATH, *headers) + b"0\r\n\r\n" + _LIVE, ends=True)


def _chunks(name: str, chunks: bytes) -> Hostile:
    return Hostile(32, name, head(_PATH, _CHUNKED) + chunks, ends=True)


def _no_http(name: str, raw: bytes) -> Hostile:
    return Hostile(31, name, raw, ends=True)


FRAMING = [
    _ambiguous(30, b"content-length: 3", _CHUNKED),
    _ambiguous(30, _CHUNKED, b"content-length: 5"),
    _ambiguous(31, b"content-length: 3", b"content-length: 5"),
    _ambiguous(31, b"content-length: 3, 5"),
    _ambiguous(31, b"content-length: -1"),
    _ambiguous(31, b"content-length: abc"),
    _ambiguous(31, b"content-length: 0x5"),
    _ambiguous(31, b"content-length: 99999999999999999999999"),
    _ambiguous(31, b"transfer-encoding : chunked"),
    _ambiguous(31, b"transfer-encoding: xchunked"),
    _ambiguous(31, b"bad header"),
    _no_http("TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    _no_http("words", b"hello\r\n\r\n"),
    _no_http("zeros", b"\x00" * 100),
    _chunks("a size that is no number", b"zz\r\nabc\r\n"),
    _chunks("a negative size", b"-5\r\nabc\r\n"),
    _chunks("a size of 17 digits", b"fffffffffffffffff\r\n"),
    _chunks("more than the size", b"3\r\nabcdef\r\n0\r\n\r\n"),
    _chunks("a bare line feed behind an extension", b"3;a\nabc\r\n0\r\n\r\n"),
    _chunks("a bare line feed behind the size", b"3\nabc\n0\n\n"),
]

# What follows is held by the protocol class alone: see `test_wire_limits.py`.


def _head(name: str, raw: bytes, status: int, code: str) -> Hostile:
    return Hostile(37, name, raw, status, code, ends=True)


def _hosts(name: str, *hosts: bytes) -> Hostile:
    lines = b"".join(b"host: " + host + b"\r\n" for host in hosts)
    raw = b"POST " + _PATH + b" HTTP/1.1\r\n" + lines + b"content-length: 0\r\n\r\n"
    return _head(name, raw, 400, "bad-host")


HEADS = [
    _head("a header of 65 KiB", post(FINE, b"x-a: " + b"y" * (65 << 10), path=_PATH), 431,
          "head-too-large"),
    _head("65 KiB of headers", post(FINE, *(b"x-%d: " % n + b"y" * 1000 for n in range(66))), 431,
          "head-too-large"),
    _head("a target of 65 KiB", post(FINE, path=_PATH + b"?" + b"y" * (65 << 10)), 431,
          "head-too-large"),
    _head("a header that does not end", b"GET / HTTP/1.1\r\nx-a: " + b"y" * (200 << 10), 431,
          "head-too-large"),
    _head("101 fields", post(FINE, *(b"x-%d: y" % n for n in range(98))), 431, "head-too-large"),
    _head("101 fields that say nothing", post(FINE, *([b"x-a:"] * 98)), 431, "head-too-large"),
    _hosts("no host"),
    _hosts("two hosts", b"x", b"y"),
    _hosts("the same host twice", b"x", b"x"),
]  # fmt: skip

_PART = head(_PATH, b"content-length: 1000")
SLOW_BODIES = [
    Hostile(38, "a body that drips", _PART, 408, "request-timeout", ends=True, is_cheap=False,
            drip=b" " * 1000),
    Hostile(38, "a body that does not come", _PART + b"{", 408, "request-timeout", ends=True,
            is_cheap=False),
    Hostile(38, "a chunked body that drips", head(_PATH, _CHUNKED), 408, "request-timeout",
            ends=True, is_cheap=False, drip=b"1\r\n \r\n" * 1000),
]  # fmt: skip
SLOW_HEADS = [
    Hostile(38, "a head that drips", b"POST ", 408, "request-timeout", ends=True, is_cheap=False,
            drip=_PATH + b" HTTP/1.1\r\n" + b"x-a: y\r\n" * 100),
    Hostile(38, "a head that stops", head(_PATH)[:-2], 408, "request-timeout", ends=True,
            is_cheap=False),
]  # fmt: skip
SILENT = [
    Hostile(38, "a connection that is silent", b"", 0, ends=True, is_cheap=False),
    Hostile(38, "a connection that falls silent", _LIVE, 200, ends=True, is_cheap=False),
]
