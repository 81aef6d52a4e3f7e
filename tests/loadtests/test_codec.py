"""What a body costs is measured on bodies that are read and written as in the gateway."""

import numpy as np
import pytest

from gateway.protocol.messages import Encoded, InferRequest
from loadtests import codec


@pytest.mark.parametrize("name", codec.CASES)
def test_the_codec_is_measured_on_what_it_reads_and_writes(name: str) -> None:
    for rows in codec.ROWS:
        result = codec.CASES[name](rows)()
        assert isinstance(result, InferRequest | Encoded | np.ndarray | bytes)
        if isinstance(result, InferRequest):
            assert result.tensors["X"].shape == (rows, codec.COLUMNS)
