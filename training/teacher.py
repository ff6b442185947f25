"""The teacher: MiniLM's sentence vectors, which know what prose means."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

MOST_TOKENS = 128  # of one text: what MiniLM was trained with
_TOKENS_AT_ONCE = {"cpu": 4_096, "cuda": 131_072}
_CHARACTERS = 8 * MOST_TOKENS


class Teacher:
    """all-MiniLM-L6-v2 from a folder, on a processor or a GPU."""

    def __init__(self, folder: Path, device: str) -> None:
        model = BertModel(BertConfig.from_pretrained(folder), add_pooling_layer=False)
        weights = load_file(folder / "model.safetensors")
        model.load_state_dict(weights, strict=False)
        self._model = model.to(device, torch.float16 if device == "cuda" else torch.float32).eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MOST_TOKENS)
        self._device = device

    @torch.inference_mode()
    def embed(self, texts: Sequence[str]) -> npt.NDArray[np.float16]:
        """Embed texts to float16 [len(texts), 384], each row of length 1."""
        cut = [text[:_CHARACTERS] for text in texts]
        ids = [encoding.ids for encoding in self._tokenizer.encode_batch_fast(cut)]
        order = sorted(range(len(ids)), key=lambda row: len(ids[row]))
        vectors = np.zeros((len(ids), self._model.config.hidden_size), dtype=np.float16)
        start = 0
        while start < len(order):
            rows = self._batch(order, start, ids)
            vectors[rows] = self._mean([ids[row] for row in rows]).cpu().numpy()
            start += len(rows)
        return vectors

    def _batch(self, order: list[int], start: int, ids: list[list[int]]) -> list[int]:
        """Return the next texts in order of length that make a full batch with their padding."""
        most = _TOKENS_AT_ONCE[self._device]
        end = start + max(1, most // MOST_TOKENS)
        while end < len(order) and (end + 1 - start) * len(ids[order[end]]) <= most:
            end += 1
        return order[start:end]

    def _mean(self, ids: list[list[int]]) -> torch.Tensor:
        longest = max(map(len, ids))
        table = np.zeros((len(ids), longest), dtype=np.int64)
        for row, tokens in enumerate(ids):
            table[row, : len(tokens)] = tokens
        padded = torch.from_numpy(table).to(self._device)
        mask = (padded != 0).long()
        hidden = self._model(input_ids=padded, attention_mask=mask).last_hidden_state
        summed = (hidden * mask[:, :, None]).sum(1, dtype=torch.float32)
        return torch.nn.functional.normalize(summed, dim=1).to(torch.float16)
