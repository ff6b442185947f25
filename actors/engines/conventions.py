"""What a model expects of those who use it: prefixes, pooling, length, dimension.

The spec wins, then the model's own files, then a table of known families.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from actors.engines.base import SCORE
from actors.engines.files import read_json, read_object
from actors.engines.spec import ModelSpec
from actors.errors import InvalidRequest, ModelLoadError

PoolingMode = Literal["mean", "cls", "last", "score"]

# Tokens read of one text where no file says anything: the length of BERT and most of its heirs.
DEFAULT_TOKENS = 512
_MOST_TOKENS = 131_072  # a tokenizer without limit says 10^30


@dataclass(frozen=True, slots=True)
class Settled:
    """A model's conventions, all decided.

    Attributes:
        query_prefix: Put before each query; may be empty.
        document_prefix: Put before each document; may be empty.
        pooling: How token vectors become one; "score" of a cross-encoder.
        projected: Whether further layers follow the pooling ("Dense" in modules.json).
        max_tokens: Tokens read of one text, prefix and special tokens included.
        dimension: Numbers kept of each vector, or 0 for all.
    """

    query_prefix: str
    document_prefix: str
    pooling: PoolingMode
    projected: bool
    max_tokens: int
    dimension: int


@dataclass(frozen=True, slots=True)
class Family:
    """Models that were trained alike.

    Attributes:
        names: Pattern of their names, or of their architecture; lower case, "-" for "_".
        query: Prefix of queries.
        document: Prefix of documents.
        pooling: How their token vectors become one.
    """

    names: str
    query: str = ""
    document: str = ""
    pooling: PoolingMode = "mean"


_REPRESENT = "Represent this sentence for searching relevant passages: "
_INSTRUCT = (
    "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:"
)

# The first that fits. From the model cards named beside them (huggingface.co/<name>), and their
# 1_Pooling/config.json.
FAMILIES = (
    Family(  # nomic-ai/nomic-embed-code, nomic-ai/CodeRankEmbed
        "nomic-embed-code", "Represent this query for searching relevant code: ", pooling="last"
    ),
    Family("coderankembed", "Represent this query for searching relevant code: ", pooling="cls"),
    # nomic-ai/nomic-embed-text-v1.5, -v2-moe
    Family("nomic-embed-text|nomic-embed-v", "search_query: ", "search_document: "),
    # intfloat/multilingual-e5-large-instruct, intfloat/e5-mistral-7b-instruct
    Family("e5-mistral.*-instruct", _INSTRUCT + " ", pooling="last"),
    Family("e5-.*-instruct", _INSTRUCT + " "),
    # intfloat/e5-small-v2, intfloat/multilingual-e5-small
    Family(r"\be5-(small|base|large)", "query: ", "passage: "),
    # BAAI/bge-small-en-v1.5, BAAI/bge-small-zh-v1.5, BAAI/bge-m3
    Family(r"\bbge-(small|base|large)-en", _REPRESENT, pooling="cls"),
    Family(
        r"\bbge-(small|base|large)-zh",
        "为这个句子生成表示以用于检索相关文章：",  # noqa: RUF001 - as it was trained
        pooling="cls",
    ),
    Family(r"\bbge-", pooling="cls"),
    # Snowflake/snowflake-arctic-embed-m-v2.0, Snowflake/snowflake-arctic-embed-m-v1.5
    Family("arctic-embed-[a-z-]+v2", "query: ", pooling="cls"),
    Family("arctic-embed", _REPRESENT, pooling="cls"),
    # mixedbread-ai/mxbai-embed-large-v1
    Family("mxbai-embed", _REPRESENT, pooling="cls"),
    # Qwen/Qwen3-Embedding-0.6B
    Family("qwen3-embedding", _INSTRUCT, pooling="last"),
    # google/embeddinggemma-300m
    Family("embeddinggemma", "task: search result | query: ", "title: none | text: "),
    # Alibaba-NLP/gte-base-en-v1.5, thenlper/gte-base
    Family(r"\bgte-.*-v1\.5|gte-modernbert|gte-multilingual", pooling="cls"),
    # The architecture of the nomic models, where the name tells nothing.
    Family(r"\bnomic-bert", "search_query: ", "search_document: "),
)
_UNKNOWN = Family("")

# The architecture of cross-encoders; and how many labels there are where no file tells.
_CLASSIFIER = "ForSequenceClassification"
_LABELS = 2

# Architectures whose positions begin after the padding's.
_OFFSET_POSITIONS = {"camembert", "mpnet", "roberta", "xlm-roberta"}

_POOLINGS: dict[str, PoolingMode] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean",  # the same once its length is 1
    "pooling_mode_lasttoken": "last",
    "cls": "cls",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean",
    "lasttoken": "last",
}


def settle(spec: ModelSpec, folder: Path) -> Settled:
    """Decide what a transformer's folder, in the layout of the hub, expects of its users.

    Raises:
        ModelLoadError: A file is unreadable, or asks for a pooling that is not known here; or the
            model sorts texts into classes.
        InvalidRequest: The spec asks for more tokens than the model has positions, or for a
            pooling of a cross-encoder.
    """
    config = read_object(folder / "config.json")
    if _is_cross_encoder(folder, config):
        return _settle_cross_encoder(spec, folder, config)
    family = family_of(_name(spec, folder), config.get("_name_or_path"), config.get("model_type"))
    query, document = _prompts(folder) or (family.query, family.document)
    modules = _modules(folder)
    return Settled(
        query_prefix=query if spec.query_prefix is None else spec.query_prefix,
        document_prefix=document if spec.document_prefix is None else spec.document_prefix,
        pooling=spec.pooling or _pooling(folder, modules) or family.pooling,
        projected=any("Dense" in kind for kind in modules),
        max_tokens=_max_tokens(spec, folder, config),
        dimension=spec.dimension,
    )


def _settle_cross_encoder(spec: ModelSpec, folder: Path, config: dict[str, Any]) -> Settled:
    if spec.pooling:
        message = f"{spec} asks for a pooling, and a cross-encoder has none; leave it out"
        raise InvalidRequest(message)
    return Settled(
        query_prefix=spec.query_prefix or "",
        document_prefix=spec.document_prefix or "",
        pooling=SCORE,
        projected=False,
        max_tokens=_max_tokens(spec, folder, config),
        dimension=spec.dimension,
    )


def _is_cross_encoder(folder: Path, config: dict[str, Any]) -> bool:
    """Tell whether a model scores texts and does not embed them, by its architecture.

    Raises:
        ModelLoadError: It has several scores, one for each of its classes.
    """
    architectures = config.get("architectures") or ()
    if not any(str(name).endswith(_CLASSIFIER) for name in architectures):
        return False
    labels = config.get("num_labels") or len(config.get("id2label") or ()) or _LABELS
    if labels != 1:
        message = (
            f"{folder} holds a classifier of {labels} labels, which neither embeds texts nor "
            "scores pairs of them; take an embedding model, or a cross-encoder with one label"
        )
        raise ModelLoadError(message)
    return True


def family_of(*names: object) -> Family:
    """Return the first family that one of the names fits, the names that say most coming first.

    Args:
        names: A model's name, its architecture and the like; what is not text fits nothing.
    """
    known = [name.lower().replace("_", "-") for name in names if isinstance(name, str)]
    fitting = (f for name in known for f in FAMILIES if re.search(f.names, name))
    return next(fitting, _UNKNOWN)


def kept_dimension(spec: ModelSpec, own: int) -> int:
    """Return how many numbers of each vector are kept, of the `own` that the model gives.

    Raises:
        InvalidRequest: More are asked for than there are.
    """
    if spec.dimension > own:
        message = (
            f"{spec} asks for {spec.dimension} dimensions and the model has {own}; ask for less"
        )
        raise InvalidRequest(message)
    return spec.dimension or own


def _name(spec: ModelSpec, folder: Path) -> str:
    return folder.name if spec.is_local else spec.reference


def _prompts(folder: Path) -> tuple[str, str] | None:
    """Return the prefixes that sentence-transformers would put, or None where it says nothing.

    The keys are those that its `encode_query` and `encode_document` look for, in their order. Its
    version 5 writes empty prompts into every model, which therefore say nothing.
    """
    prompts = read_object(folder / "config_sentence_transformers.json").get("prompts") or {}
    query = prompts.get("query") or ""
    document = next((prompts[k] for k in ("document", "passage", "corpus") if prompts.get(k)), "")
    return (query, document) if query or document else None


def _modules(folder: Path) -> dict[str, str]:
    """Return the steps of a sentence-transformers model: class name to folder, in their order."""
    path = folder / "modules.json"
    try:
        return {m["type"].rpartition(".")[2]: m["path"] for m in read_json(path) or ()}
    except (KeyError, TypeError, AttributeError) as error:
        message = f"{path} is no list of modules ({error!r}): copy the model's files again"
        raise ModelLoadError(message) from error


def _pooling(folder: Path, modules: dict[str, str]) -> PoolingMode | None:
    path = folder / modules.get("Pooling", "1_Pooling") / "config.json"
    config = read_object(path)
    chosen = [
        name for name, on in config.items() if name.startswith("pooling_mode_") and on is True
    ]
    if isinstance(mode := config.get("pooling_mode"), str):
        chosen = [mode]
    if not chosen:
        return None
    if len(chosen) > 1 or chosen[0] not in _POOLINGS:
        message = (
            f"{path} asks for {' and '.join(chosen)}, which is not offered; choose another model, "
            "or a pooling with ?pooling=mean, cls or last"
        )
        raise ModelLoadError(message)
    return _POOLINGS[chosen[0]]


def _max_tokens(spec: ModelSpec, folder: Path, config: dict[str, Any]) -> int:
    positions = _positions(config)
    if spec.max_tokens > positions:
        message = (
            f"{spec} asks for {spec.max_tokens} tokens and the model has {positions} positions"
        )
        raise InvalidRequest(message)
    chosen = read_object(folder / "sentence_bert_config.json").get("max_seq_length")
    tokenizer = read_object(folder / "tokenizer_config.json").get("model_max_length")
    said = [n for n in (chosen, tokenizer, positions) if isinstance(n, int | float)]
    own = min((int(n) for n in said if 0 < n < _MOST_TOKENS), default=DEFAULT_TOKENS)
    return spec.max_tokens or own


def _positions(config: dict[str, Any]) -> int:
    """Return how many tokens the model can place, or the most of all where it does not say."""
    number = config.get("max_position_embeddings") or config.get("n_positions")
    if not isinstance(number, int):
        return _MOST_TOKENS
    if config.get("model_type") in _OFFSET_POSITIONS:
        return number - 1 - int(config.get("pad_token_id") or 1)
    return number
