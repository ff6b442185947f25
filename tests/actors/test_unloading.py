"""Unloading gives the memory back: what a replica holds afterwards is what it held before."""

import pytest
from replica import run_with_replica
from shared_files import shared_file

SCRIPT = """
actor = replica(sys.argv[1], keep_alive_s=0.0)
idle = settled(actor)
texts = [f"def handler_{n}(request): return parse(request) " * (1 + n % 20) for n in range(200)]
ray.get(actor.embed.remote(texts, "document"))
until(lambda: status(actor).detail["state"] == "unloaded")
until(lambda: status(actor).detail["unloads"] == 1)
after = settled(actor)
print(status(actor).detail["loads"], status(actor).restarts, after / idle)
"""


@pytest.mark.parametrize(
    "model",
    [
        "static:builtin",
        "onnx:models/all-MiniLM-L6-v2-onnx",
        "gguf:models/all-MiniLM-L6-v2.Q8_0.gguf",
    ],
    ids=["static", "onnx", "gguf"],
)
def test_it_holds_no_more_than_a_fifth_over_what_it_held_before(model):
    engine, _, reference = model.partition(":")
    if engine != "static":
        model = f"{engine}:{shared_file(reference).resolve()}"
    loads, restarts, ratio = run_with_replica(SCRIPT, model).split()
    assert (loads, restarts) == ("1", "0")
    assert float(ratio) <= 1.2, ratio
