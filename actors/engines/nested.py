"""Which vectors may be cut short: those of models made so that what matters most comes first."""

from __future__ import annotations

import re

from actors.engines.base import ModelCard
from actors.engines.files import read_object
from actors.errors import InvalidRequest, ModelLoadError

# By the cards of these models (huggingface.co): nomic-ai/nomic-embed-text-v1.5 and -v2-moe,
# mixedbread-ai/mxbai-embed-large-v1, Snowflake/snowflake-arctic-embed-m-v1.5 and -m-v2.0,
# Qwen/Qwen3-Embedding-0.6B, google/embeddinggemma-300m.
_FAMILIES = re.compile(
    r"nomic-embed-text-v(1\.5|2)|mxbai-embed-large|arctic-embed-[a-z]-v(1\.5|2)"
    r"|qwen3-embedding|embeddinggemma"
)


def check_cut(card: ModelCard, dimension: int) -> None:
    """Let the first `dimension` numbers of a model's vectors stand for all of them.

    Raises:
        InvalidRequest: The model has fewer, or does not say that they can.
    """
    own = card.fingerprint.dimension
    if dimension == own:
        return
    if dimension > own:
        message = f"{card.spec} has {own} dimensions; ask for that many or fewer"
        raise InvalidRequest(message)
    allowed = _allowed(card)
    if allowed is None:
        message = (
            f"{card.spec} was not trained for vectors shorter than {own} (Matryoshka); leave "
            "`dimensions` out, or take a model that was"
        )
        raise InvalidRequest(message)
    if allowed and dimension not in allowed:
        sizes = ", ".join(map(str, sorted(allowed)))
        message = f"{card.spec} has vectors of {sizes} dimensions; ask for one of these"
        raise InvalidRequest(message)


def _allowed(card: ModelCard) -> frozenset[int] | None:
    """Return the sizes that a model may be cut to: empty for any, None for none.

    What its config says counts, as for vLLM; then how a static model was made, whose principal
    components are sorted; then the family.
    """
    config = _config(card)
    sizes = config.get("matryoshka_dimensions")
    if isinstance(sizes, list):
        return frozenset(size for size in sizes if isinstance(size, int))
    name = f"{card.spec.reference}/{card.path.name}".lower().replace("_", "-")
    sorted_by_weight = card.spec.engine == "static" and config.get("apply_pca")
    if config.get("is_matryoshka") or sorted_by_weight or _FAMILIES.search(name):
        return frozenset()
    return None


def _config(card: ModelCard) -> dict[str, object]:
    try:
        return read_object(card.path / "config.json") if card.path.is_dir() else {}
    except ModelLoadError:
        return {}
