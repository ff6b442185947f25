"""Rows are read a few at a time, and no more of them are held."""

import subprocess
import sys

import lance
import numpy as np
import pyarrow as pa
import pytest

from actors.index.rows import row_batches

READ_ALL = """
import re, sys
from pathlib import Path
import lance
from actors.index.paged import vector_batches

def most_kib():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

dataset = lance.dataset(sys.argv[1])
dataset.take([0], columns=["vector"])
before = most_kib()
rows = sum(len(vectors) for vectors in vector_batches(dataset))
print(rows, most_kib() - before)
"""
ROWS, DIMENSION = 100_000, 512


def write(uri, rows, dimension=1, **options):
    flat = pa.array(np.random.default_rng(0).random(rows * dimension, np.float32))
    vectors = pa.FixedSizeListArray.from_arrays(flat, dimension)
    table = pa.table({"id": np.arange(rows), "vector": vectors})
    return lance.write_dataset(table, uri, **options)


def test_all_rows_come_in_order_over_several_files(tmp_path):
    dataset = write(tmp_path / "rows.lance", 1000, max_rows_per_file=300)
    batches = list(row_batches(dataset, size=128))
    assert max(batch.num_rows for batch in batches) <= 128
    assert batches[0].schema.names == ["id", "vector"]
    assert pa.Table.from_batches(batches)["id"].to_pylist() == list(range(1000))


def test_no_rows_are_no_batches(tmp_path):
    assert list(row_batches(write(tmp_path / "rows.lance", 0), ["id"])) == []


@pytest.mark.skipif(sys.platform != "linux", reason="what was held at most is read from /proc")
def test_reading_all_vectors_holds_few_of_them(tmp_path):
    write(tmp_path / "rows.lance", ROWS, DIMENSION)
    command = [sys.executable, "-c", READ_ALL, str(tmp_path / "rows.lance")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    rows, grown_kib = map(int, done.stdout.split())
    assert rows == ROWS
    assert grown_kib < ROWS * DIMENSION * 4 / 1024 / 2
