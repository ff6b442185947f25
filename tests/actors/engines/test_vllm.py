"""The vLLM engine as far as it goes without vLLM; `tests/vllm` has the rest, on CPU."""

import sys
from importlib.metadata import PackageNotFoundError
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from actors.engines import vllm as engine
from actors.engines.base import Fingerprint, Footprint, ModelCard
from actors.engines.batching import CHARACTERS_PER_TOKEN
from actors.engines.spec import parse
from actors.memory import limit_for

GB = 1_000_000_000
CARD = 80 * GB
SMALL = 91_000_000
"""Bytes of a model as MiniLM is."""


def card(tmp_path, budget=0, max_tokens=8):
    name = Fingerprint("vllm", "0", "bfloat16", "mean", "", "", 2)
    spec, need = parse(f"vllm:{tmp_path}"), Footprint(0, 2 * GB)
    return ModelCard(spec, tmp_path, name, max_tokens, need, budget)


class FakeRequests:
    """A vLLM whose next call fails, and leaves its requests."""

    def __init__(self, error):
        self.error = error
        self.left = {}
        self.llm_engine = self.output_processor = self

    @property
    def request_states(self):
        return self.left

    def abort_request(self, requests, internal):
        assert internal
        for request in requests:
            del self.left[request]

    def get_tokenizer(self):
        return lambda texts, **_: {"input_ids": texts}

    def embed(self, prompts, **_):
        self.left |= {prompt["prompt_token_ids"]: prompt for prompt in prompts}
        if self.error:
            error, self.error = self.error, None
            raise error
        answers = [SimpleNamespace(outputs=SimpleNamespace(embedding=[3, 4])) for _ in self.left]
        self.left.clear()
        return answers


class FakeCounts:
    """A vLLM that reads a token in each character; a text's direction tells how many it has.

    Attributes:
        tokenised: Characters of each run of the tokenizer.
        calls: Tokens of each text, call by call.
    """

    def __init__(self):
        self.tokenised, self.calls = [], []

    def get_tokenizer(self):
        return self.tokenise

    def tokenise(self, texts, truncation, max_length):
        assert truncation
        self.tokenised.append(sum(map(len, texts)))
        return {"input_ids": [list(map(ord, text[:max_length])) for text in texts]}

    def embed(self, prompts, **_):
        self.calls.append([len(prompt["prompt_token_ids"]) for prompt in prompts])
        found = ([1, tokens] for tokens in self.calls[-1])
        return [SimpleNamespace(outputs=SimpleNamespace(embedding=v)) for v in found]


def opened(tmp_path, monkeypatch, llm, max_tokens=8):
    monkeypatch.setattr(engine, "_load", lambda *_: llm)
    return engine.open_model(card(tmp_path, max_tokens=max_tokens), 1, print)


def test_texts_are_computed_by_the_tokens_they_have_and_keep_their_places(tmp_path, monkeypatch):
    llm = FakeCounts()
    lengths = [100, 9_000, 3, 700, 50, 2_000, 4_000, 1, 60, 8_192]
    model = opened(tmp_path, monkeypatch, llm, max_tokens=8_192)
    counts = np.zeros(len(lengths), np.int32)
    vectors = model.embed(["x" * length for length in lengths], "document", counts)
    assert counts.tolist() == [min(length, 8_192) for length in lengths]
    assert llm.calls == [[8_192, 8_192], [4_000, 2_000, 700, 100], [60, 50, 3, 1]]
    np.testing.assert_allclose(vectors[:, 1] / vectors[:, 0], np.minimum(lengths, 8_192), rtol=1e-3)


def test_long_texts_are_not_all_tokenised_at_once(tmp_path, monkeypatch):
    llm = FakeCounts()
    opened(tmp_path, monkeypatch, llm, max_tokens=8_192).embed(["x" * 200_000] * 4, "document")
    assert llm.tokenised == [engine.BATCH_TOKENS * CHARACTERS_PER_TOKEN] * 2


def test_many_short_texts_are_neither_tokenised_nor_computed_all_at_once(tmp_path, monkeypatch):
    llm = FakeCounts()
    opened(tmp_path, monkeypatch, llm).embed(["x"] * 600, "document")
    assert llm.tokenised == list(map(len, llm.calls)) == [256, 256, 88]


def test_smaller_batches_can_be_asked_for(tmp_path, monkeypatch):
    llm = FakeCounts()
    model = opened(tmp_path, monkeypatch, llm)
    model.batch_tokens = 16
    model.embed(["x" * 8] * 5, "document")
    assert llm.calls == [[8, 8], [8, 8], [8]]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB."), MemoryError),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), MemoryError),
        (RuntimeError("CUDA error: an illegal memory access"), RuntimeError),
        (AssertionError(), AssertionError),
    ],
)
def test_after_a_call_that_failed_the_next_has_its_own_answers(tmp_path, monkeypatch, error, kind):
    model = opened(tmp_path, monkeypatch, FakeRequests(error))
    with pytest.raises(kind):
        model.embed(["a", "b"], "document")
    np.testing.assert_allclose(model.embed(["c"], "document"), [[0.6, 0.8]])


def test_a_model_for_which_there_is_no_memory_is_no_broken_model(tmp_path, monkeypatch):
    def load(*_):
        message = "CUDA out of memory occurred when warming up pooler"
        raise RuntimeError(message)

    monkeypatch.setattr(engine, "_load", load)
    with pytest.raises(MemoryError, match="warming up"):
        engine.open_model(card(tmp_path), 1, print)


def test_what_tensors_may_take_leaves_room_for_cuda_within_the_budget():
    assert engine.memory_fraction(5 * GB, CARD) == pytest.approx(4 / 80)
    assert engine.memory_fraction(2 * CARD, CARD) == 0.95
    assert engine.memory_fraction(GB // 2, CARD) == 0.001  # vLLM takes no 0


def test_the_budget_confines_tensors_and_vllm_alike(tmp_path, monkeypatch):
    confined = []
    platform = SimpleNamespace(
        is_cpu=lambda: False, is_cuda_alike=lambda: True, get_device_total_memory=lambda: CARD
    )
    fakes = {
        "vllm.config": {"PoolerConfig": lambda **chosen: chosen},
        "vllm.platforms": {"current_platform": platform},
        "torch": {"cuda": SimpleNamespace(set_per_process_memory_fraction=confined.append)},
    }
    for name, content in fakes.items():
        module = ModuleType(name)
        module.__dict__.update(content)
        monkeypatch.setitem(sys.modules, name, module)
    options = engine._options(card(tmp_path, budget=9 * GB))
    assert options["gpu_memory_utilization"] == pytest.approx(0.1)
    assert confined == [options["gpu_memory_utilization"]]
    assert engine._options(card(tmp_path))["gpu_memory_utilization"] == pytest.approx(1 / 80)


@pytest.mark.parametrize(("installed", "is_on_gpu"), [("0.33.0", True), ("0.33.0+cpu", False)])
def test_a_replica_on_a_gpu_has_room_for_cudas_libraries(monkeypatch, installed, is_on_gpu):
    monkeypatch.setattr(engine, "version", lambda _: installed)
    limit = limit_for(engine._runtime() + SMALL, CARD)
    held = 1_690_000_000  # in a replica, after 5,000 texts on an H100
    assert (limit * 0.8 > held) is is_on_gpu


def test_the_package_for_cpu_has_another_name(monkeypatch):
    def version(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(engine, "version", version)
    assert engine._runtime() == 800_000_000
