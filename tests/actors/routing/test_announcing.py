"""A newer generation is served once it is announced, or after a while where nobody does."""

import pytest

from actors.catalog import Catalog
from actors.engines.base import Fingerprint
from actors.errors import NotFound
from actors.routing import corpus
from actors.routing.corpus import Corpora
from actors.storage import Storage

MODEL = Fingerprint("static", "0" * 16, "int8", "mean", "", "", 2)


@pytest.fixture
def catalog(tmp_path, monkeypatch):
    """Storage is looked at for every request."""
    monkeypatch.setattr(corpus, "FRESH_S", 0.0)
    return Catalog(Storage(str(tmp_path)))


@pytest.fixture
def served(tmp_path, catalog):
    """Return what tells which generation of the collection is served."""
    first = catalog.publish(catalog.new("c", MODEL, 2, ""))
    corpora = Corpora(Storage(str(tmp_path)))
    assert corpora.get("c").manifest == first
    return corpora, first


def test_a_newer_generation_waits_until_it_is_announced(catalog, served):
    corpora, first = served
    second = catalog.publish(first)
    assert corpora.get("c").manifest == first
    corpora.reopen()
    assert corpora.get("c").manifest == second
    catalog.publish(second)
    assert corpora.get("c").manifest == second


def test_one_that_nobody_announces_is_served_after_a_while(catalog, served, monkeypatch):
    corpora, first = served
    second = catalog.publish(first)
    assert corpora.get("c").manifest == first
    monkeypatch.setattr(corpus, "_UNANNOUNCED_S", 0.0)
    assert corpora.get("c").manifest == second


def test_a_new_collection_and_the_end_of_one_need_no_announcement(catalog, served):
    corpora, _ = served
    other = catalog.publish(catalog.new("other", MODEL, 2, ""))
    assert corpora.get("other").manifest == other
    catalog.delete("c")
    with pytest.raises(NotFound):
        corpora.get("c")
