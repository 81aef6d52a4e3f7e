"""Checks of proofs as RFC 9162 describes them for clients, in sections 2.1.3.2 and 2.1.4.2."""

from hashlib import sha256


def node(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1" + left + right).digest()


def is_included(leaf: bytes, index: int, size: int, path: list[bytes], root: bytes) -> bool:
    if index >= size:
        return False
    fn, sn, found = index, size - 1, sha256(b"\0" + leaf).digest()
    for one in path:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            found = node(one, found)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            found = node(found, one)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and found == root


def is_consistent(  # noqa: C901 - as the standard has it
    first: int, second: int, path: list[bytes], old: bytes, new: bytes
) -> bool:
    if first == 0:
        return not path
    if first == second:
        return not path and old == new
    if first & (first - 1) == 0:
        path = [old, *path]
    if not path:
        return False
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for one in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = node(one, fr), node(one, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = node(sr, one)
        fn, sn = fn >> 1, sn >> 1
    return sn == 0 and (fr, sr) == (old, new)
