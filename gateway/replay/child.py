"""The child process that runs one recorded input on one artifact, and nothing else.

Reads an `Asked` from standard input and writes a `Reply` to standard output, both as MessagePack.
It has no data directory and no key: what it needs is handed to it.
"""

import sys

import msgspec
from msgspec import Struct

from registry.apart import end_with_parent, limit_self
from registry.errors import Rejected
from registry.session import open_session
from registry.tensors import decode_tensors, encode_tensors, with_texts


class Asked(Struct, frozen=True, array_like=True):
    """An artifact, and its inputs in canonical bytes."""

    artifact: bytes
    inputs: bytes


class Answered(Struct, frozen=True, tag=True, array_like=True):
    """All outputs, in canonical bytes."""

    outputs: bytes


class Failed(Struct, frozen=True, tag=True, array_like=True):
    """Why there are none: the artifact could not be loaded, or it failed on this input."""

    is_artifact: bool
    message: str


Reply = Answered | Failed


def answer(asked: Asked) -> Reply:
    """Load the artifact and run it."""
    try:
        session = open_session(asked.artifact)
    except Rejected as error:
        return Failed(is_artifact=True, message=str(error))
    try:
        values = session.run(None, with_texts(decode_tensors(asked.inputs)))
    except Exception:  # noqa: BLE001 - whatever a model does is told to whoever asked
        return Failed(is_artifact=False, message="")
    names = (node.name for node in session.get_outputs())
    return Answered(encode_tensors(dict(zip(names, values, strict=True))))


def main() -> None:
    """Answer what standard input asks, within limits."""
    end_with_parent()
    limit_self()
    asked = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Asked)
    sys.stdout.buffer.write(msgspec.msgpack.encode(answer(asked)))


if __name__ == "__main__":
    main()
