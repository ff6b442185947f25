"""20,000 texts of all lengths through one replica: what it holds does not creep up."""

import pytest
from replica import run_with_replica
from shared_files import shared_file

TEXTS, FIRST, BATCH, LONGEST = 20_000, 1_000, 50, 20_000
SCRIPT = """
import random
model, texts, first, batch, longest = sys.argv[1], *map(int, sys.argv[2:])
source = "".join(open(file).read() for file in (random.__file__, ray.__file__)) * 4
drawn = random.Random(7)
lengths = [drawn.randint(1, longest) for _ in range(texts)]
actor = replica(model)


def embed(some):
    for at in range(0, len(some), batch):
        cut = [source[(s := drawn.randint(0, longest)) : s + n] for n in some[at : at + batch]]
        answer = ray.get(actor.embed.remote(cut, "document"))
        assert answer.vectors.shape == (len(cut), 384)


embed(lengths[:first])
early = settled(actor)
embed(lengths[first:])
print(settled(actor) / early, status(actor).detail["texts"], status(actor).restarts)
"""


@pytest.mark.timeout(900)
def test_memory_after_20000_texts_is_that_after_1000():
    folder = shared_file("models/all-MiniLM-L6-v2-onnx").resolve()
    told = run_with_replica(
        SCRIPT, f"onnx:{folder}?max_tokens=64", TEXTS, FIRST, BATCH, LONGEST, timeout_s=800
    )
    ratio, texts, restarts = told.split()
    assert (texts, restarts) == (str(TEXTS), "0")
    assert float(ratio) <= 1.05
