"""GGUF files through llama.cpp: MiniLM beside the same weights in NumPy, and files made here."""

import inspect
import json
import stat
import struct
import subprocess
import sys
import threading
import unittest
from pathlib import Path

import numpy as np
import psutil
import pytest
from gguf_writer import VOCABULARY, WIDTH, write_nomic
from minilm_reference import Reference, minilm_folder
from shared_files import shared_file
from waiting import until

from actors.engines.gguf_header import read_header
from actors.engines.registry import describe, open_engine
from actors.errors import InvalidRequest, ModelLoadError

# Loads a model, embeds its longest text, closes it and does so again; tells how much PSS that took.
LIFE = """
import json, sys
import psutil, xllamacpp
from actors.engines.registry import describe, open_engine
from actors.memory import give_back

def pss():
    return psutil.Process().memory_full_info().pss

card = describe(sys.argv[1])
before, most, left = pss(), [], []
for _ in range(2):
    engine = open_engine(card, threads=2)
    engine.embed(["sea wave " * 5000] * 2, "document")
    most.append(pss())
    engine.close()
    del engine
    give_back()
    left.append(pss())
print(json.dumps({"before": before, "most": most, "left": left, "expected": card.footprint.total}))
"""
# Leaves a loaded model too little for its longest text.
TIGHT = """
import resource, sys
from actors.engines.registry import describe, open_engine

engine = open_engine(describe(f"{sys.argv[1]}?max_tokens=2048"), threads=2)
engine.embed(["sea"], "query")
with open("/proc/self/status") as status:
    held = next(int(line.split()[1]) << 10 for line in status if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (held + (100 << 20),) * 2)
try:
    engine.embed(["sea " * 3000], "document")
except MemoryError as error:
    print(type(error).__name__)
print(engine.embed(["sea"], "query").shape)
"""
MB = 10**6


@pytest.fixture(scope="module")
def nomic(tmp_path_factory):
    return write_nomic(tmp_path_factory.mktemp("nomic") / "random.gguf", megabytes=20)


@pytest.fixture(scope="module")
def engine(nomic):
    engine = open_engine(describe(f"{nomic}?max_tokens=64"), threads=2)
    yield engine
    engine.close()


def minilm():
    return f"{shared_file('models/all-MiniLM-L6-v2.Q8_0.gguf')}?max_tokens=256"


def test_minilm_agrees_with_the_reference_and_long_texts_are_cut_where_it_cuts_them():
    source = inspect.getsource(unittest.case)
    texts = [part.strip()[:250] for part in source.split("\n\n") if len(part) > 40][:100]
    texts += [source[:4000], source[4000:8000]]
    engine = open_engine(describe(minilm()), threads=2)
    vectors = engine.embed(texts, "document")
    engine.close()
    cosines = np.einsum("ij,ij->i", vectors, Reference(minilm_folder()).embed(texts))
    assert len(texts) > 80
    assert cosines.mean() >= 0.999
    assert cosines[-2:].min() >= 0.998


def test_the_card_says_what_the_file_says(nomic):
    card = describe(str(nomic))
    name = card.fingerprint
    assert (card.spec.engine, card.path, card.max_tokens) == ("gguf", nomic, 512)
    assert (name.dtype, name.pooling, name.dimension) == ("Q4_0", "mean", WIDTH)
    assert (name.query_prefix, name.document_prefix) == ("search_query: ", "search_document: ")
    assert card.footprint.mapped == nomic.stat().st_size


def test_a_folder_stands_for_its_one_file(nomic):
    assert describe(f"gguf:{nomic.parent}").path == nomic


def test_each_row_has_length_one_and_the_place_of_its_text(engine):
    texts = ["a long one " * 9, "", "short", "b\ud800c", "x" * 100_000]
    counts = np.zeros(len(texts), np.int32)
    vectors = engine.embed(texts, "document", counts)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert counts.max() == counts[4] == 64
    assert counts[1] < counts[2] < counts[0]
    for text, vector in zip(texts, vectors, strict=True):
        np.testing.assert_array_equal(engine.embed([text], "document")[0], vector)


def test_queries_and_documents_get_their_prefixes(engine, nomic):
    bare = open_engine(describe(f"{nomic}?max_tokens=64&query_prefix=&document_prefix="))
    as_query = engine.embed(["sea"], "query")
    np.testing.assert_array_equal(as_query, bare.embed(["search_query: sea"], "document"))
    assert not np.array_equal(as_query, engine.embed(["sea"], "document"))
    bare.close()


def test_what_lies_beyond_the_limit_is_not_read(engine):
    read, beyond = "word " * 100, "other " * 100
    np.testing.assert_array_equal(*engine.embed([read + "x", read + beyond], "document"))


def test_fewer_dimensions_are_the_first_ones(nomic, engine):
    small = open_engine(describe(f"{nomic}?max_tokens=64&dimension=32"))
    first = engine.embed(["sea"], "query")[:, :32]
    np.testing.assert_allclose(
        small.embed(["sea"], "query"), first / np.linalg.norm(first), rtol=1e-5
    )
    small.close()


def test_another_pooling_gives_other_vectors(nomic, engine):
    card = describe(f"{nomic}?max_tokens=64&pooling=cls")
    other = open_engine(card)
    assert card.fingerprint.pooling == "cls"
    assert not np.allclose(other.embed(["sea"], "query"), engine.embed(["sea"], "query"))
    other.close()


def test_several_threads_get_their_own_answers(engine):
    texts = [f"text number {number}" for number in range(8)]
    expected = engine.embed(texts, "document")
    found = {}

    def ask(number):
        found[number] = engine.embed([texts[number]], "document")[0]

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.testing.assert_array_equal(np.stack([found[n] for n in range(8)]), expected)


def test_it_listens_nowhere_but_in_a_folder_of_this_users(nomic):
    before = listening()
    engine = open_engine(describe(str(nomic)))
    (path,) = map(Path, listening() - before)
    assert path.name == "llama.sock"
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    engine.close()
    assert not path.parent.exists()
    assert listening() == before


def listening():
    """Return the addresses of this process's ports and Unix sockets."""
    connections = psutil.Process().net_connections("all")
    return {c.laddr for c in connections if c.status in {psutil.CONN_LISTEN, psutil.CONN_NONE}}


def test_a_closed_engine_says_so_and_its_threads_have_ended(nomic):
    before = psutil.Process().num_threads()
    engine = open_engine(describe(str(nomic)))
    engine.close()
    engine.close()
    with pytest.raises(RuntimeError, match="closed"):
        engine.embed(["sea"], "query")
    until(lambda: psutil.Process().num_threads() <= before + 2)  # OpenMP keeps its own


def test_a_load_tells_how_far_it_is(nomic):
    told = []
    card = describe(str(nomic))
    open_engine(card, on_progress=lambda *told_now: told.append(told_now)).close()
    size = nomic.stat().st_size
    assert ("reading", size, size) in told
    assert told[-1][0] == "loading"


def test_memory_stays_below_the_estimate_and_comes_back(tmp_path):
    model = write_nomic(tmp_path / "nomic.gguf", megabytes=80)
    ran = subprocess.run([sys.executable, "-c", LIFE, model], capture_output=True, check=True)
    told = json.loads(ran.stdout)
    used = max(told["most"]) - told["before"]
    assert 0.6 * told["expected"] < used < 1.1 * told["expected"]
    assert max(told["left"]) < told["before"] + 45 * MB


def test_a_batch_without_memory_fails_and_the_next_one_is_embedded(tmp_path):
    model = write_nomic(tmp_path / "nomic.gguf", megabytes=20)
    ran = subprocess.run([sys.executable, "-c", TIGHT, model], capture_output=True, check=True)
    assert ran.stdout == b"MemoryError\n(1, 768)\n"


def test_a_vocabulary_is_counted_and_not_kept(nomic):
    assert read_header(nomic)["tokenizer.ggml.tokens"] == VOCABULARY


def test_other_settings_than_the_model_has_are_refused(nomic):
    with pytest.raises(InvalidRequest, match="2048 positions"):
        describe(f"{nomic}?max_tokens=4096")
    with pytest.raises(InvalidRequest, match=f"has {WIDTH}"):
        describe(f"{nomic}?dimension=1024")


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda head: b"GGML" + head[4:], "begin with GGUF"),
        (lambda head: head[:4] + struct.pack("<I", 9) + head[8:], "version is 9"),
        (lambda head: head[:30], "ends within"),
        (lambda head: head[:24] + struct.pack("<Q", 2**60) + head[32:], "more than"),
        (lambda head: head[:16] + struct.pack("<Q", 2**60) + head[24:], "is no GGUF"),
        (lambda head: b"", "begin with GGUF|ends within"),
    ],
)
def test_a_damaged_head_is_refused_before_anything_is_loaded(nomic, tmp_path, damage, reason):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(damage(nomic.read_bytes()))
    with pytest.raises(ModelLoadError, match=reason):
        describe(str(broken))


def test_a_file_without_its_weights_is_refused_by_the_load(nomic, tmp_path):
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(nomic.read_bytes()[: 4 * MB])
    with pytest.raises(ModelLoadError, match="log says which"):
        open_engine(describe(str(broken)))
