"""A model that takes more memory than it says is stopped at its limit, and only that."""

import os
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from own_gateway import ENFORCEMENTS, LIAR, capped_gateway
from waiting import until

from actors.errors import MemoryLimitExceeded
from cluster.client import ShoalClient

LIMIT = 400 << 20
OVERSHOOT = 1.0
"""Of the limit: what four children can take between two looks of a watchdog that is alone."""


@pytest.fixture(scope="module", params=ENFORCEMENTS)
def cluster(request, tmp_path_factory):
    """A gateway whose replicas may use 400 MiB each, held to it in one of two ways."""
    environment = {"PYTHONPATH": str(LIAR), "SHOAL_EMBEDDER_MEMORY": str(LIMIT)}
    top = tmp_path_factory.mktemp(request.param)
    with capped_gateway(top, request.param, **environment) as shoal:
        yield shoal


def liar(folder, name):
    (folder / name).touch()
    return f"lying:{folder / name}"


def replica_of(shoal, model):
    return next(r for r in shoal.status().replicas if r.detail.get("model") == model)


def others(shoal):
    """Return the processes of all actors but those that hold a liar."""
    known = [r for r in shoal.status().replicas if r.pid]
    return {r.name: r.pid for r in known if not r.detail.get("model", "").startswith("lying:")}


@pytest.mark.parametrize("how", ["arrays", "objects", "mapped", "children"])
@pytest.mark.parametrize("when", ["load", "embed"])
def test_it_is_stopped_at_its_limit_and_the_rest_goes_on(cluster, tmp_path, when, how):
    model = liar(tmp_path, f"{when}-{how}")
    before = others(cluster)
    with pytest.raises(MemoryLimitExceeded, match=r"400 MiB") as refused:
        cluster.embed(["boom"], model=model, deadline_s=60)
    assert refused.value.retry_after_s
    if how != "mapped":  # pages that are cached already come in no time, and cost nobody anything
        assert all(mib << 20 <= LIMIT * (1 + OVERSHOOT) for mib in figures(refused.value))

    answer = cluster.search("zebra", collections=["sound"])
    assert (answer.coverage, answer.hits[0].path) == (1.0, "sound.md")
    assert others(cluster) == before


@pytest.mark.parametrize("when", ["load", "embed"])
def test_after_its_back_off_the_next_request_is_served(cluster, tmp_path, when):
    model = liar(tmp_path, f"{when}-arrays")
    with pytest.raises(MemoryLimitExceeded):
        cluster.embed(["boom"], model=model, deadline_s=60)
    (tmp_path / "behave").touch()
    assert until(lambda: served(cluster, model))
    assert replica_of(cluster, model).problem == ""


def figures(error):
    return [int(mib) for mib in re.findall(r"(\d+)(?: of \d+)? MiB", str(error))]


def served(shoal, model):
    """Tell whether the next request is answered; while the back-off lasts, it is refused."""
    try:
        return shoal.embed(["boom"], model=model).dimension == 2
    except MemoryLimitExceeded:
        return False


def test_sixty_four_first_callers_share_one_load(cluster, tmp_path):
    model = liar(tmp_path, "load-wait")
    with ThreadPoolExecutor(64) as callers:
        waiting = [callers.submit(ask, cluster.settings.root, model) for _ in range(64)]
        until(lambda: loading(cluster, model))
        (tmp_path / "proceed").touch()
        assert [asked.result() for asked in waiting] == [2] * 64
    assert len((tmp_path / "loads").read_text().splitlines()) == 1
    assert replica_of(cluster, model).detail["loads"] == 1


def test_its_load_is_told_of_while_it_cannot_answer(cluster, tmp_path):
    model = liar(tmp_path, "load-hold")
    pipe = tmp_path / "proceed"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as caller:
        waiting = caller.submit(ask, cluster.settings.root, model)
        try:
            until(
                lambda: (
                    told_by_the_steward(cluster, model) == ("loading", "reading a tokenizer", 0.5)
                )
            )
        finally:
            os.close(os.open(pipe, os.O_RDWR))  # as a writer, and without waiting for a reader
        assert waiting.result() == 2
    assert replica_of(cluster, model).detail["state"] == "ready"


def told_by_the_steward(shoal, model):
    """Return state, phase and fraction of the model's replica, where it does not say so itself."""
    said = [r.detail for r in shoal.status().replicas if r.detail.get("model") == model]
    second_hand = [d for d in said if "heard_s_ago" in d]
    return next(((d["state"], d["phase"], d["fraction"]) for d in second_hand), None)


def ask(root, model):
    with ShoalClient(root=root) as own:
        return own.embed(["text"], model=model, deadline_s=60).dimension


def loading(shoal, model):
    """Tell whether the model loads, as its users are told."""
    (found,) = (m for m in shoal.models() if m.name == model)
    return [r for r in found.replicas if (r.state, r.fraction) == ("loading", 0.5)]
