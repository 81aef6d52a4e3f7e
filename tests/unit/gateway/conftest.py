"""What several tests of the gateway are run under."""

from collections.abc import Iterator

import pytest

from gateway.protocol import json_envelope


@pytest.fixture(scope="module", params=["by its length", "as long"])
def read_as(request: pytest.FixtureRequest) -> Iterator[None]:
    """Hold all of this for bodies that are read as long ones, too."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "as long":
            patch.setattr(json_envelope, "_LONG_BYTES", 0)
        yield
