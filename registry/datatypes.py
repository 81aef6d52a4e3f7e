"""The element types of the Open Inference Protocol, for those who need no arrays of them."""

from enum import StrEnum


class Datatype(StrEnum):
    """Element types of the protocol; the value is the name on the wire."""

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"
    BF16 = "BF16"  # last, since a datatype's place is its code in the canonical form


# The greatest finite number of each datatype of floating point; the least is its negative.
FLOAT_BOUNDS: dict[Datatype, float] = {
    Datatype.FP16: (2 - 2**-10) * 2.0**15,
    Datatype.BF16: (2 - 2**-7) * 2.0**127,
    Datatype.FP32: (2 - 2**-23) * 2.0**127,
    Datatype.FP64: (2 - 2**-52) * 2.0**1023,
}
FLOATS = frozenset(FLOAT_BOUNDS)

# The least and the greatest number of each datatype of integers.
INTEGER_BOUNDS: dict[Datatype, tuple[int, int]] = {
    Datatype.UINT8: (0, 2**8 - 1),
    Datatype.UINT16: (0, 2**16 - 1),
    Datatype.UINT32: (0, 2**32 - 1),
    Datatype.UINT64: (0, 2**64 - 1),
    Datatype.INT8: (-(2**7), 2**7 - 1),
    Datatype.INT16: (-(2**15), 2**15 - 1),
    Datatype.INT32: (-(2**31), 2**31 - 1),
    Datatype.INT64: (-(2**63), 2**63 - 1),
}
