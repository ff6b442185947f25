"""Texts into batches that memory holds: cut in characters, sorted by length, bounded in tokens."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

# Texts in one computation, however short: what small batches gain is gained by then, and the
# memory of larger ones is kept (a batch of 32 held 500 MB in ONNX Runtime's arena).
MOST_TEXTS = 8
# English has four to six characters a token and indented code up to ten, so this seldom takes a
# token that would have been read; it keeps 512 tokens to 8 kB of text.
CHARACTERS_PER_TOKEN = 16


def batches(
    lengths: Sequence[int], most_tokens: int, most_texts: int = MOST_TEXTS
) -> Iterator[list[int]]:
    """Yield the indices of texts to compute together, longest texts first.

    Args:
        lengths: Tokens of each text.
        most_tokens: Tokens of a batch with its padding, which is its longest text times its number
            of texts. A text that is longer goes alone.
        most_texts: Texts of a batch.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        padded = lengths[batch[0] if batch else index] * (len(batch) + 1)
        if batch and (padded > most_tokens or len(batch) == most_texts):
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch


def windows(lengths: Sequence[int], most: int, most_texts: int) -> Iterator[range]:
    """Yield the indices of texts to tokenise together, in order.

    Args:
        lengths: Characters of each text.
        most: Characters of a window. A text that is longer goes alone.
        most_texts: Texts of a window.
    """
    first = held = 0
    for index, length in enumerate(lengths):
        if index > first and (held + length > most or index - first == most_texts):
            yield range(first, index)
            first, held = index, 0
        held += length
    if first < len(lengths):
        yield range(first, len(lengths))


def cut(text: str, max_tokens: int, characters_per_token: int = CHARACTERS_PER_TOKEN) -> str:
    """Return the part of a text that a tokenizer may see: bounded in characters, and encodable.

    Tokenizers written in Rust end the process where memory ends, so the text is cut before. A lone
    surrogate, which a text read with `surrogateescape` may hold and Rust refuses, is left out.
    """
    return encodable(text[: max_tokens * characters_per_token])


def encodable(text: str) -> str:
    """Leave out lone surrogates."""
    return text.encode("utf-8", "ignore").decode("utf-8")
