"""Writes GGUF files of nomic-bert's shape with random weights, for tests that need a large one.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Loading such a file takes the
memory and the time of a trained one.
"""

import itertools
import string
import struct

import numpy as np

ARCHITECTURE = "nomic-bert"
WIDTH, INNER, HEADS, VOCABULARY, CONTEXT = 768, 3072, 12, 30_522, 2048  # nomic-embed-text-v1.5
F32, Q4_0 = 0, 2  # ggml_type; general.file_type has the same number for Q4_0
Q4_0_BLOCK, Q4_0_BYTES = 32, 18  # weights of a block, and its bytes: a float16 scale and 32 nibbles
SCALE = np.float16(0.01)  # weights then spread as in a trained model, about 0.05
SPECIALS = {"[PAD]": 0, "[UNK]": 100, "[CLS]": 101, "[SEP]": 102, "[MASK]": 103}
NORMAL, CONTROL = 1, 3
ALIGNMENT = 32

UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
PACKED = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}


def write_nomic(path, megabytes=80):
    """Write a model of at most `megabytes` (10^6 bytes), always the same; return its path."""
    layers = (megabytes * 10**6 - _size(_embeddings())) // _size(_layer(0))
    assert layers > 0, "the embeddings alone are 14 MB"
    tensors = _embeddings() | {n: s for i in range(layers) for n, s in _layer(i).items()}
    random = np.random.default_rng(0)
    with path.open("wb") as file:
        file.write(_header(_metadata(layers), tensors))
        for name, shape in tensors.items():
            file.write(bytes(-file.tell() % ALIGNMENT))
            file.write(_weights(name, shape, random))
    return path


def _embeddings():
    return {
        "token_embd.weight": (VOCABULARY, WIDTH),
        "token_types.weight": (2, WIDTH),
        "token_embd_norm.weight": (WIDTH,),
        "token_embd_norm.bias": (WIDTH,),
    }


def _layer(number):
    parts = {
        "attn_qkv.weight": (3 * WIDTH, WIDTH),
        "attn_output.weight": (WIDTH, WIDTH),
        "attn_output_norm.weight": (WIDTH,),
        "attn_output_norm.bias": (WIDTH,),
        "ffn_up.weight": (INNER, WIDTH),
        "ffn_gate.weight": (INNER, WIDTH),
        "ffn_down.weight": (WIDTH, INNER),
        "layer_output_norm.weight": (WIDTH,),
        "layer_output_norm.bias": (WIDTH,),
    }
    return {f"blk.{number}.{name}": shape for name, shape in parts.items()}


def _size(tensors):
    return sum(map(_bytes, tensors.items()))


def _bytes(tensor):
    name, shape = tensor
    count = int(np.prod(shape))
    return count // Q4_0_BLOCK * Q4_0_BYTES if _type(name, shape) == Q4_0 else 4 * count


def _type(name, shape):
    return Q4_0 if len(shape) == 2 and name != "token_types.weight" else F32


def _weights(name, shape, random):
    if _type(name, shape) == F32:
        return np.full(shape, "norm.weight" in name, dtype="<f4").tobytes()
    blocks = np.frombuffer(random.bytes(_bytes((name, shape))), np.uint8).reshape(-1, Q4_0_BYTES)
    blocks = blocks.copy()
    blocks[:, :2] = np.frombuffer(SCALE.tobytes(), np.uint8)
    return blocks.tobytes()


def _metadata(layers):
    tokens = _tokens()
    kinds = [CONTROL if token in SPECIALS else NORMAL for token in tokens]
    return {
        "general.architecture": (STRING, ARCHITECTURE),
        "general.name": (STRING, "random nomic-bert"),
        "general.file_type": (UINT32, Q4_0),
        f"{ARCHITECTURE}.block_count": (UINT32, layers),
        f"{ARCHITECTURE}.context_length": (UINT32, CONTEXT),
        f"{ARCHITECTURE}.embedding_length": (UINT32, WIDTH),
        f"{ARCHITECTURE}.feed_forward_length": (UINT32, INNER),
        f"{ARCHITECTURE}.attention.head_count": (UINT32, HEADS),
        f"{ARCHITECTURE}.attention.layer_norm_epsilon": (FLOAT32, 1e-12),
        f"{ARCHITECTURE}.attention.causal": (BOOL, False),
        f"{ARCHITECTURE}.pooling_type": (UINT32, 1),
        f"{ARCHITECTURE}.rope.freq_base": (FLOAT32, 1000.0),
        "tokenizer.ggml.model": (STRING, "bert"),
        "tokenizer.ggml.token_type_count": (UINT32, 2),
        "tokenizer.ggml.tokens": (ARRAY, (STRING, tokens)),
        "tokenizer.ggml.token_type": (ARRAY, (INT32, kinds)),
        "tokenizer.ggml.padding_token_id": (UINT32, SPECIALS["[PAD]"]),
        "tokenizer.ggml.unknown_token_id": (UINT32, SPECIALS["[UNK]"]),
        "tokenizer.ggml.cls_token_id": (UINT32, SPECIALS["[CLS]"]),
        "tokenizer.ggml.seperator_token_id": (UINT32, SPECIALS["[SEP]"]),  # the format's spelling
        "tokenizer.ggml.mask_token_id": (UINT32, SPECIALS["[MASK]"]),
    }


def _tokens():
    """Every ASCII character inside a word and at its start, then words of one to four letters."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    words = (
        "".join(word)
        for length in itertools.count(2)
        for word in itertools.product(string.ascii_lowercase, repeat=length)
    )
    pieces = itertools.chain(characters, (f"\u2581{w}" for w in itertools.chain(characters, words)))
    special = {number: token for token, number in SPECIALS.items()}
    return [special.get(number) or next(pieces) for number in range(VOCABULARY)]


def _header(metadata, tensors):
    parts = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(metadata))]
    parts += [_text(key) + _value(*typed) for key, typed in metadata.items()]
    offset = 0
    for name, shape in tensors.items():
        dimensions = struct.pack(f"<I{len(shape)}Q", len(shape), *reversed(shape))
        parts += [_text(name), dimensions, struct.pack("<IQ", _type(name, shape), offset)]
        offset += _bytes((name, shape))
        offset += -offset % ALIGNMENT
    header = b"".join(parts)
    return header + bytes(-len(header) % ALIGNMENT)


def _value(kind, value):
    return struct.pack("<I", kind) + _bare(kind, value)


def _bare(kind, value):
    if kind == STRING:
        return _text(value)
    if kind == ARRAY:
        of, items = value
        return struct.pack("<IQ", of, len(items)) + b"".join(_bare(of, item) for item in items)
    return struct.pack(PACKED[kind], value)


def _text(text):
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded
