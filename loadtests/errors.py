"""The one error of load tests."""


class LoadTestError(Exception):
    """A load test could not run, or met an answer that was not right; the sentence says which."""
