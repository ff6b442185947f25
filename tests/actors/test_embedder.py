"""The Embedder as a real actor: what it refuses, and that it lives on."""

from replica import run_with_replica

SCRIPT = """
from actors.embedder import MAX_TEXT_CHARS
from actors.errors import LimitExceeded

embedder = replica("static:builtin", limit=400 << 20)
before = status(embedder)
try:
    ray.get(embedder.embed.remote(["x" * 30_000_000], "document"))
except LimitExceeded as error:
    print(error)
answer = ray.get(embedder.embed.remote(["x" * MAX_TEXT_CHARS, "short"], "document"))
assert answer.vectors.shape == (2, 320)
after = status(embedder)
assert (before.pid, before.detail["state"]) == (after.pid, "unloaded")
assert after.restarts == 0
print("lives on")
"""


def test_a_text_far_beyond_any_model_is_refused_and_the_replica_lives_on():
    told = run_with_replica(SCRIPT)
    assert "30,000,000 characters" in told
    assert told.endswith("lives on\n")
