"""Replicas that are killed at their work: while another lives, no request is lost."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor

import pytest
from own_gateway import LIAR, own_gateway
from waiting import until

from cluster.client import ShoalClient


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A gateway with two replicas of each model."""
    root = tmp_path_factory.mktemp("pair") / "root"
    with own_gateway(root, PYTHONPATH=str(LIAR), SHOAL_EMBEDDERS="2") as shoal:
        yield shoal


def ask(root, model, text):
    with ShoalClient(root=root) as own:
        return own.embed([text], model=model, deadline_s=60).dimension


def lines(path):
    return path.read_text().splitlines() if path.exists() else []


@pytest.mark.parametrize(
    ("when", "text", "mark", "busy"),
    [("load", "a", "loads", 1), ("embed", "wait", "waiting", 2)],
    ids=["load", "batch"],
)
def test_a_replica_killed_in_the_middle_loses_no_request(pair, tmp_path, when, text, mark, busy):
    """One replica loads at a time, so that one is in the middle of it; of a batch, both are."""
    model = f"lying:{tmp_path / f'{when}-wait'}"
    (tmp_path / f"{when}-wait").touch()
    with ThreadPoolExecutor(16) as callers:
        waiting = [callers.submit(ask, pair.settings.root, model, text) for _ in range(16)]
        until(lambda: len(set(lines(tmp_path / mark))) == busy)
        os.kill(int(lines(tmp_path / mark)[0]), signal.SIGKILL)
        (tmp_path / "proceed").touch()
        assert [asked.result() for asked in waiting] == [2] * 16


def test_a_replica_that_would_have_to_load_is_asked_once_the_ready_one_has_much_to_do(
    pair, tmp_path
):
    (tmp_path / "embed-wait").touch()
    model = f"lying:{tmp_path / 'embed-wait'}"

    def texts():
        return [r.detail["texts"] for r in pair.status().replicas if r.detail.get("model") == model]

    for number in range(4):
        ask(pair.settings.root, model, f"text {number}")
    assert sorted(texts()) == [0, 4]
    with ThreadPoolExecutor(1) as caller, ShoalClient(root=pair.settings.root) as own:
        batch = caller.submit(own.embed, ["wait"] * 65, model=model, deadline_s=60)
        until(lambda: lines(tmp_path / "waiting"))
        ask(pair.settings.root, model, "another text")
        (tmp_path / "proceed").touch()
        batch.result()
    assert sorted(texts()) == [1, 69]
