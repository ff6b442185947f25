"""Builds real, tiny models in model2vec's folder format."""

import json
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import WordLevel, WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer, Whitespace

from actors.engines import static
from actors.engines.base import silent
from actors.engines.spec import parse

VOCABULARY = ["[PAD]", "[UNK]", "parse", "json", "##s", "sea", "wave", "(", "_", "e"]


def bert_tokenizer(**normalizer):
    ids = {token: number for number, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordPiece(ids, unk_token="[UNK]"))
    tokenizer.normalizer = BertNormalizer(**normalizer)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    special = [AddedToken(token, normalized=False, special=True) for token in VOCABULARY[:2]]
    tokenizer.add_special_tokens(special)
    return tokenizer


def word_tokenizer():
    """Not of BERT's kind: words are cut at white space, and no unknown token is set apart."""
    ids = {token: number for number, token in enumerate(VOCABULARY)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return tokenizer


def table(dtype="int8"):
    rows = np.random.default_rng(7).integers(-127, 128, size=(len(VOCABULARY), 8))
    return rows.astype(dtype)


def write_model(folder: Path, arrays=None, tokenizer=None, **config):
    folder.mkdir(exist_ok=True)
    save_file({"embeddings": table()} if arrays is None else arrays, folder / "model.safetensors")
    (tokenizer or bert_tokenizer()).save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps({"normalize": True, **config}))
    return folder


def describe_folder(folder: Path, options=""):
    return static.describe(parse(f"static:{folder}?{options}"), folder)


def open_folder(folder: Path, options=""):
    return static.open_model(describe_folder(folder, options), 1, silent)
