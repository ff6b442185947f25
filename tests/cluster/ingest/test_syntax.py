"""What parsing leaves behind."""

import tracemalloc

from cluster.ingest.chunk import chunk


def test_a_parsed_text_is_let_go_of():
    def cut(number):
        text = "".join(f"def f{number}_{n}(x):\n    return x + {n}\n\n" for n in range(3000))
        assert chunk("a.py", text, "python")
        return len(text)

    cut(0)  # what is made once
    tracemalloc.start()
    try:
        size = sum(map(cut, range(1, 11)))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < size / 20
