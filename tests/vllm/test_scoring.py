"""A tiny BERT with a head of one label through vLLM on CPU, beside transformers itself.

In a process of its own, because one can hold one model.
"""

import os
import subprocess
import sys

SCRIPT = """
import sys
import numpy as np
import torch
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification
from actors.engines.registry import describe, open_model

source, folder = sys.argv[1:]
torch.manual_seed(5)
tokenizer = AutoTokenizer.from_pretrained(source)
config = BertConfig(
    vocab_size=len(tokenizer), hidden_size=64, num_hidden_layers=2, num_attention_heads=2,
    intermediate_size=128, max_position_embeddings=128, num_labels=1, initializer_range=0.2,
)
model = BertForSequenceClassification(config).eval()
model.save_pretrained(folder)
tokenizer.model_max_length = 128
tokenizer.save_pretrained(folder)

card = describe(f"vllm:{folder}", task="score")
engine = open_model(card, 2)
query = "where is a manifest published"
texts = ["a manifest is published by a rename", "", "waves " * 500, "b\\ud800c"]
texts += map(str, range(40))
engine.batch_tokens = 2048
scores = engine.score(query, texts)
given = [text.replace("\\ud800", "") for text in texts]
pairs = tokenizer(
    [query] * len(texts), given, truncation=True, max_length=128, padding=True, return_tensors="pt"
)
with torch.no_grad():
    expected = model(**pairs).logits[:, 0].numpy()
assert scores.shape == expected.shape and scores.dtype == np.float32
assert expected.std() > 0.05, expected
off = np.abs(scores - expected).max()
assert off < 0.1 * expected.std() + 0.03, (off, expected.std())
alone = engine.score(query, texts[:1])
assert abs(alone[0] - scores[0]) < 0.02
assert len(engine.score(query, [])) == 0
engine.close()
try:
    engine.score(query, texts)
except RuntimeError as error:
    print(error)
print(card.fingerprint.task, card.max_tokens)
"""


def test_scores_are_those_of_transformers(folder, tmp_path):
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", SCRIPT, str(folder), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        timeout=170,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told, kind = done.stdout.splitlines()[-2:]
    assert "closed" in told
    assert kind == "score 128"
