"""Chunks that are handed in, more than go into one block."""

from cluster.protocol import IngestChunk


def test_copies_of_a_text_far_apart_in_an_upload_are_two_hits(shoal):
    between = [IngestChunk(path="log", text=f"line {n}") for n in range(2, 1501)]
    first, last = (
        IngestChunk(path="log", text="zebra", start_line=line, end_line=line) for line in (1, 1501)
    )
    chunks = [first, *between, last]
    shoal.ingest(chunks, [[1.0, 2.0]] * len(chunks), collection="copies")
    found = shoal.search("zebra", mode="lexical", collections=["copies"])
    assert sorted(hit.start_line for hit in found.hits) == [1, 1501]
