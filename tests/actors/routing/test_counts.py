"""What a router counts, as histograms and as flat numbers."""

from actors.routing.counts import Buckets, Counts


def test_a_value_is_counted_in_the_first_bucket_that_holds_it():
    buckets = Buckets((1, 2, 4))
    for value in (0, 1, 1.5, 2, 4, 5, 100):
        buckets.note(value)
    assert buckets.counts == [2, 2, 1, 2]
    assert (buckets.count, buckets.total) == (7, 113.5)


def test_a_stage_tells_count_sum_and_percentiles_and_fills_a_histogram():
    counts = Counts()
    for milliseconds in range(1, 101):
        counts.stages["embed"].note(milliseconds / 1e3)
    told = counts.told()
    assert (told["embed_count"], told["embed_sum_s"]) == (100, 5.05)
    assert (told["embed_p50_ms"], told["embed_p99_ms"]) == (51, 100)
    (embed, *_) = counts.histograms()
    assert (embed.name, embed.label) == ("search_stage_seconds", "embed")
    assert dict(zip(embed.bounds, embed.counts, strict=False))[0.01] == 5


def test_batches_are_told_by_who_gets_them_and_zeros_only_to_those_who_watch():
    counts = Counts()
    counts.host_batches.note(3)
    found = {(one.name, one.label): sum(one.counts) for one in counts.histograms()}
    assert found == {("router_batch_size", "host"): 1, ("router_batch_size", "embedder"): 0}
    assert counts.told() == {}
