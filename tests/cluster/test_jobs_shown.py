"""The jobs in the cluster's status, which does without what the steward knows."""

import pytest

from actors.errors import GatewayUnavailable, ReplicaLost
from actors.storage import Storage
from cluster.calls import Calls
from cluster.indexing import Indexing
from cluster.roots import Roots
from cluster.settings import Settings


class WithoutSteward(Calls):
    def __init__(self, error):
        super().__init__()
        self._error = error

    async def ask(self, name, call):
        raise self._error


@pytest.mark.parametrize("error", [TimeoutError(), GatewayUnavailable("away"), ReplicaLost("gone")])
async def test_jobs_of_this_gateway_are_shown_where_the_steward_is_away_or_lost(tmp_path, error):
    settings = Settings(root=str(tmp_path))
    storage = Storage(settings.root_uri)
    calls = WithoutSteward(error)
    indexing = Indexing(calls, settings, storage, lambda: None, Roots(settings.index_roots))
    assert await indexing.shown() == ()
