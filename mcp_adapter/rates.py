"""How often each caller may ask: a bucket of tokens for each, which fills at a steady rate."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

from actors.errors import Overloaded

_BURST_S = 2.0
"""What a caller did not ask for in so many seconds, it may ask for at once."""
_MAX_CALLERS = 4096
"""Of more, who was away for longest is forgotten, and begins with a full bucket again."""


class Rates:
    """Buckets of callers; belongs to one event loop.

    Args:
        per_s: Requests that each may make in a second, in the long run.
        clock: Seconds that pass.
    """

    def __init__(self, per_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_s = per_s
        self._most = max(1.0, per_s * _BURST_S)
        self._clock = clock
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def take(self, caller: Hashable) -> None:
        """Take one request out of a caller's bucket.

        Raises:
            Overloaded: It is empty; `retry_after_s` says when it is not.
        """
        now = self._clock()
        left, then = self._buckets.pop(caller, (self._most, now))
        left = min(self._most, left + (now - then) * self._per_s)
        taken = 1.0 if left >= 1.0 else 0.0
        self._buckets[caller] = (left - taken, now)
        if len(self._buckets) > _MAX_CALLERS:
            self._buckets.popitem(last=False)
        if not taken:
            message = (
                f"more than {self._per_s:g} requests a second come from this address with this "
                "token; ask less often, or raise SHOAL_RATE_LIMIT"
            )
            raise Overloaded(message, retry_after_s=(1.0 - left) / self._per_s)
