"""How many of a version's requests its contract may refuse before it only flags."""

from collections import deque

WINDOW_S = 300.0
LEAST_REQUESTS = 200
_BUCKETS = 60


class RefusalCap:
    """Says when rules that reject are suspended, since they would refuse too many requests.

    That is from the moment on when more than a share `cap` of at least `LEAST_REQUESTS` requests of
    the last `WINDOW_S` would be refused, until it is less than half of the cap. What is counted is
    what would be refused, whether it is or not, so the state does not undo its own cause. Time is
    given, in seconds of a clock that never goes back; it is told apart by buckets of 5 seconds.
    """

    def __init__(self, cap: float) -> None:
        self.is_suspended = False
        self.requests = 0
        self.refused = 0
        self._cap = cap
        self._earlier: deque[tuple[int, int, int]] = deque()  # bucket, requests, refused
        self._bucket = 0
        self._bucket_requests = 0
        self._bucket_refused = 0

    @property
    def share(self) -> float:
        """The share of the window's requests that are refused, or would be."""
        return self.refused / self.requests if self.requests else 0.0

    def count(self, now_s: float, *, is_refused: bool) -> bool:
        """Count one request; say whether this suspends the rules or lets them act again."""
        bucket = int(now_s * _BUCKETS / WINDOW_S)
        if bucket != self._bucket:
            self._turn_to(bucket)
        self.requests += 1
        self._bucket_requests += 1
        if is_refused:
            self.refused += 1
            self._bucket_refused += 1
        # A window without refusals is soon decided: it suspends nothing.
        return self._decide() if self.refused or self.is_suspended else False

    def _turn_to(self, bucket: int) -> None:
        self._earlier.append((self._bucket, self._bucket_requests, self._bucket_refused))
        self._bucket, self._bucket_requests, self._bucket_refused = bucket, 0, 0
        while self._earlier and self._earlier[0][0] <= bucket - _BUCKETS:
            _, requests, refused = self._earlier.popleft()
            self.requests -= requests
            self.refused -= refused

    def _decide(self) -> bool:
        was_suspended = self.is_suspended
        if was_suspended:
            self.is_suspended = self.share >= self._cap / 2
        else:
            self.is_suspended = self.requests >= LEAST_REQUESTS and self.share > self._cap
        return self.is_suspended is not was_suspended
