"""In every tier the nearest are found, whatever the filter, and scores are cosines."""

import errno
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pytest
from clustered import DIMENSION, ROWS, clustered, near, recall
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.index import paged as paged_module
from actors.index.dense import ExactDense, Tier
from actors.index.paged import PagedDense, build_index, vector_batches
from actors.index.resident import ResidentDense
from actors.index.selection import Selection
from actors.index.tiers import EXACT_ROWS, Vectors, bytes_held, choose_tier

DEPTH = 100
IDS = np.arange(ROWS, dtype=np.uint64) + 7


@pytest.fixture(scope="module")
def vectors():
    return clustered()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, vectors):
    import lance

    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), DIMENSION)
    uri = str(tmp_path_factory.mktemp("paged") / "rows.lance")
    return lance.write_dataset(pa.table({"vector": column}), uri, max_rows_per_file=20_000)


@pytest.fixture(scope="module")
def resident(tmp_path_factory, vectors):
    dense = ResidentDense(np.array_split(vectors, 7), IDS, DIMENSION)
    dense.build(tmp_path_factory.mktemp("codes") / "dense.codes", "s")
    return dense


@pytest.fixture(scope="module")
def paged(dataset):
    dense = PagedDense(dataset, IDS)
    build_in_a_process_of_its_own(dataset.uri)
    dense.refresh()
    assert dense.is_indexed
    return dense


@pytest.fixture(scope="module")
def dense(request):
    return request.getfixturevalue(request.param)


both_tiers = pytest.mark.parametrize("dense", ["resident", "paged"], indirect=True)


def build_in_a_process_of_its_own(uri):
    code = "import sys; from actors.index.paged import build_index; build_index(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, uri], check=True, timeout=120)


@pytest.fixture
def unindexed(tmp_path, vectors, monkeypatch):
    """Return the dataset of a small paged segment, whose index this process may build."""
    import lance

    monkeypatch.setattr(paged_module, "_FRUGAL", {})  # it would set this process's environment
    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors[:2_000].ravel()), DIMENSION)
    return lance.write_dataset(pa.table({"vector": column}), str(tmp_path / "rows.lance"))


def selections(share, shape, seed):
    """Return `share` of the rows, strewn or (as with a folder) side by side."""
    count = max(int(share * ROWS), 1)
    random = np.random.default_rng(seed)
    mask = np.zeros(ROWS, np.bool_)
    if shape == "strewn":
        mask[random.choice(ROWS, count, replace=False)] = True
    else:
        first = random.integers(ROWS - count + 1)
        mask[first : first + count] = True
    return Selection(mask)


@both_tiers
def test_nearly_all_of_the_nearest_are_found(dense, vectors):
    queries = near(vectors)
    found = dense.search(queries, DEPTH, None)
    assert recall(found, vectors, IDS, queries, 10) >= 0.98
    assert all(len(ranking.ids) == DEPTH for ranking in found)


@both_tiers
@settings(max_examples=25, deadline=None)
@given(
    share=st.sampled_from([1.0, 0.95, 0.5, 0.1, 0.03, 0.01, 0.001, 0.00001]),
    shape=st.sampled_from(["strewn", "together"]),
    seed=st.integers(0, 1000),
)
def test_a_filter_of_any_selectivity_keeps_recall_and_holds(dense, vectors, share, shape, seed):
    among = selections(share, shape, seed)
    queries = near(vectors, 24, seed)
    found = dense.search(queries, DEPTH, among)
    assert all(among.mask[(ranking.ids - 7).astype(int)].all() for ranking in found)
    assert all(len(ranking.ids) == min(DEPTH, among.count) for ranking in found)
    assert recall(found, vectors, IDS, queries, 10, among.rows()) >= 0.95


@both_tiers
def test_where_nothing_may_be_found_nothing_is(dense, vectors):
    nothing = Selection(np.zeros(ROWS, np.bool_))
    assert [len(found.ids) for found in dense.search(near(vectors, 3), DEPTH, nothing)] == [0, 0, 0]


@both_tiers
def test_a_score_is_the_cosine_with_the_stored_vector(dense, vectors):
    queries = near(vectors)
    bound = 2**-11 if dense.tier is Tier.RESIDENT else 1e-6
    for query, found in zip(queries, dense.search(queries, DEPTH, None), strict=True):
        cosines = vectors[(found.ids - 7).astype(int)].astype(np.float64) @ query
        assert np.abs(found.scores - cosines).max() < bound
        assert (np.diff(found.scores) <= 0).all()


@both_tiers
def test_queries_together_find_what_each_finds_alone(dense, vectors):
    queries = near(vectors, 5)
    together = dense.search(queries, DEPTH, None)
    for query, found in zip(queries, together, strict=True):
        (alone,) = dense.search(query[None], DEPTH, None)
        assert found.ids.tolist() == alone.ids.tolist()
        assert found.scores.tolist() == alone.scores.tolist()


@pytest.mark.parametrize("share", [1.0, 0.5, 0.05])
def test_exact_answers_do_not_depend_on_which_queries_come_together(vectors, share):
    few = ExactDense(vectors[:5000], IDS[:5000])
    among = Selection(np.random.default_rng(3).random(5000) < share)
    queries = near(vectors[:5000], 17)
    together = few.search(queries, DEPTH, among)
    for query, found in zip(queries, together, strict=True):
        (alone,) = few.search(query[None], DEPTH, among)
        assert found.ids.tolist() == alone.ids.tolist()
        assert found.scores.tolist() == alone.scores.tolist()


def test_before_its_codes_are_built_a_resident_segment_compares_every_row(vectors):
    dense = ResidentDense([vectors], IDS, DIMENSION)
    queries = near(vectors)
    assert not dense.has_codes
    assert recall(dense.search(queries, DEPTH, None), vectors, IDS, queries, 10) >= 0.99


def test_before_its_index_is_built_a_paged_segment_reads_every_row(tmp_path, vectors):
    import lance

    column = pa.FixedSizeListArray.from_arrays(pa.array(vectors[:12_000].ravel()), DIMENSION)
    dataset = lance.write_dataset(pa.table({"vector": column}), str(tmp_path / "rows.lance"))
    dense, queries = PagedDense(dataset, IDS[:12_000]), near(vectors[:12_000])
    assert not dense.is_indexed
    for among in (None, Selection(np.arange(12_000) % 10 > 0)):
        found = dense.search(queries, DEPTH, among)
        rows = None if among is None else among.rows()
        assert recall(found, vectors[:12_000], IDS[:12_000], queries, DEPTH, rows) == 1.0


def test_an_index_is_built_once(dataset, paged):
    version = dataset.latest_version
    build_in_a_process_of_its_own(dataset.uri)
    assert dataset.latest_version == version


def test_of_two_hosts_that_build_at_once_both_find_the_index(unindexed, tmp_path, monkeypatch):
    train = paged_module._centroids

    def overtaken(dataset, partitions):
        monkeypatch.setattr(paged_module, "_centroids", train)
        build_index(dataset.uri)
        return train(dataset, partitions)

    monkeypatch.setattr(paged_module, "_centroids", overtaken)
    held = Vectors(unindexed, IDS[:2_000], Tier.PAGED, tmp_path / "dense.codes", "s")
    held.finish(build_index)
    assert not held.unfinished


def test_an_index_that_nobody_could_build_is_an_error(unindexed, monkeypatch):
    def fill_the_disk(_dataset, _partitions):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(paged_module, "_centroids", fill_the_disk)
    with pytest.raises(OSError, match="No space left"):
        build_index(unindexed.uri)


@pytest.mark.parametrize(
    ("rows", "room", "tier"),
    [
        (EXACT_ROWS, 0, Tier.EXACT),
        (EXACT_ROWS + 1, 1 << 40, Tier.RESIDENT),
        (1_000_000, bytes_held(Tier.RESIDENT, 1_000_000, 384), Tier.RESIDENT),
        (1_000_000, bytes_held(Tier.RESIDENT, 1_000_000, 384) - 1, Tier.PAGED),
    ],
)
def test_a_large_segment_is_resident_where_it_fits(rows, room, tier):
    assert choose_tier(rows, 384, room) is tier


def test_what_was_paged_is_read_into_memory_when_there_is_room(dataset, tmp_path, vectors):
    held = Vectors(dataset, IDS, Tier.PAGED, tmp_path / "dense.codes", "s")
    held.promote()
    assert (held.tier, held.unfinished) == (Tier.RESIDENT, True)
    held.finish(pytest.fail)
    assert not held.unfinished
    queries = near(vectors)
    assert recall(held.search(queries, DEPTH, None), vectors, IDS, queries, 10) >= 0.98


@pytest.mark.parametrize("dimension", [1, 6, 37, 63, 130])
def test_vectors_of_any_dimension_can_be_coded(tmp_path, dimension):
    some = clustered(3000, dimension)
    dense, queries = ResidentDense([some], IDS[:3000], dimension), near(some)
    dense.build(tmp_path / "dense.codes", "s")
    found = dense.search(queries, 10, None)
    best = np.sort(queries @ some.T)[:, -10:]  # not ids: in one dimension there are but ties
    scores = np.array([np.sort(ranking.scores) for ranking in found])
    assert np.mean(scores >= best - 1e-3) >= 0.95


def test_vectors_are_read_in_order_over_several_files(dataset, vectors):
    assert len(dataset.get_fragments()) > 1
    assert np.array_equal(np.concatenate(list(vector_batches(dataset))), vectors)
