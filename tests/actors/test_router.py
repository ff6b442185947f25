"""How a search's time is shared out."""

from types import SimpleNamespace

import numpy as np
import pytest

from actors.index.fusion import Mode
from actors.messages import Filter, SearchRequest
from actors.query_vectors import QueryVectors
from actors.routing.counts import Counts
from actors.scatter import Watch


async def times_for_models(spaces, deadline_s):
    """Return how many seconds each of so many models may take."""
    watch = Watch(deadline_s, Counts())
    given = []

    async def embed(_model, _space, _query, _kind, give_up_at):
        given.append(give_up_at - watch.give_up_at + deadline_s)
        return np.ones(2, np.float32)

    plan = SimpleNamespace(spaces={str(number): ("m",) for number in range(spaces)})
    request = SearchRequest("q", Mode.HYBRID, 5, (), Filter(), None, deadline_s)
    await QueryVectors(SimpleNamespace(vector=embed)).of(plan, request, watch)
    return given


async def test_of_several_models_none_may_take_all_the_time():
    assert await times_for_models(2, 8.0) == pytest.approx([6.0, 6.0])


async def test_the_only_model_may():
    assert await times_for_models(1, 8.0) == pytest.approx([8.0])
