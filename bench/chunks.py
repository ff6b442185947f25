"""Texts of a known number of word pieces, and the real model that reads them."""

from __future__ import annotations

import os
import sys
import sysconfig
from itertools import pairwise
from pathlib import Path

from report import REPOSITORY
from tokenizers import Tokenizer

WORD_PIECES = 195
"""A chunk of code as it is indexed, and below the 256 tokens that the model reads."""
_FILES = 60


def shared_model(name: str) -> Path:
    """Return a model below the shared folder; end the program where it is absent."""
    shared = Path(os.environ.get("SHOAL_SHARED") or REPOSITORY.parent / "shared")
    path = shared / "models" / name
    if not path.exists():
        sys.exit(f"no {name} below {shared}/models: set SHOAL_SHARED to the folder that holds it")
    return path.resolve()


def chunks(tokenizer_file: Path, number: int) -> list[str]:
    """Cut the standard library's source into texts of `WORD_PIECES`, the same each time."""
    files = sorted(Path(sysconfig.get_path("stdlib")).glob("*.py"))[:_FILES]
    return pieces(
        "".join(file.read_text(encoding="utf-8") for file in files), tokenizer_file, number
    )


def pieces(source: str, tokenizer_file: Path, number: int) -> list[str]:
    """Cut source into texts of `WORD_PIECES`, and return the first of them."""
    tokenizer = Tokenizer.from_file(str(tokenizer_file))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    ends = [end for _, end in tokenizer.encode(source, add_special_tokens=False).offsets]
    cuts = [0, *ends[WORD_PIECES - 1 :: WORD_PIECES]]
    return [source[a:b] for a, b in pairwise(cuts)][:number]
