"""Slow searches in the log: where their time went, and nothing of what was asked."""

import logging

import pytest

from actors.errors import DeadlineExceeded
from actors.index.fusion import Mode
from actors.messages import Filter, SearchRequest
from cluster.slow import noted

LOGGER = "shoal.search"
REQUEST = SearchRequest("my secret", Mode.HYBRID, 10, ("books",), Filter(), None, 10.0)


def told(caplog):
    """Return what was logged here; a thread of an earlier test may log as well."""
    return [record for record in caplog.records if record.name == LOGGER]


def search(slow_s):
    with noted(REQUEST, slow_s) as timings_ms:
        timings_ms["embed"] = 900.0


def test_a_slow_search_is_one_warning_with_its_stages_and_without_its_words(caplog):
    caplog.set_level(logging.INFO, logger=LOGGER)
    search(slow_s=0)
    (record,) = told(caplog)
    assert record.levelno == logging.WARNING
    assert record.fields["timings_ms"] == {"embed": 900.0}
    assert (record.fields["query_chars"], record.fields["collections"]) == (9, 1)
    assert "secret" not in f"{record.getMessage()}{record.fields}"


def test_a_quick_search_is_told_only_when_debugging(caplog):
    caplog.set_level(logging.INFO, logger=LOGGER)
    search(slow_s=60)
    assert not told(caplog)
    caplog.set_level(logging.DEBUG, logger=LOGGER)
    search(slow_s=60)
    assert [record.levelno for record in told(caplog)] == [logging.DEBUG]


def test_a_slow_search_that_fails_is_told_with_its_error(caplog):
    caplog.set_level(logging.INFO, logger=LOGGER)
    with pytest.raises(DeadlineExceeded), noted(REQUEST, 0):
        raise DeadlineExceeded("time is up")
    (record,) = told(caplog)
    assert record.fields["error"] == "DeadlineExceeded"
