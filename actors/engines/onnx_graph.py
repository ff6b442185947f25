"""Reads what an ONNX file says of itself, without a library and without its weights.

Walks the file's protocol buffers (protobuf.dev/programming-guides/encoding) by the field numbers of
onnx.proto, and steps over the tensors' bytes.
"""

from __future__ import annotations

import mmap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path

from actors.engines.files import unreadable

# Fields, as in onnx.proto.
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 1, 5, 11, 12
_NODE_OPERATOR = 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_EXTERNAL = 1, 2, 13
_VALUE_NAME, _VALUE_TYPE = 1, 2
_TYPE_TENSOR, _TENSOR_ELEMENT, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_VALUE = 1, 1, 2, 1, 1
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

# TensorProto.DataType
_DTYPES = {1: "float32", 2: "int8", 3: "int8", 10: "float16", 11: "float64", 16: "bfloat16"}
_DTYPES |= {21: "int4", 22: "int4"}
INTEGERS = {6: "int32", 7: "int64"}

# Operators that quantise activations as they come, by the range of a whole batch.
_DYNAMIC = {"DynamicQuantizeLinear", "DynamicQuantizeMatMul", "DynamicQuantizeLSTM"}

# Wire types; a fixed one has so many bytes.
_VARINT, _BYTES = 0, 2
_FIXED = {1: 8, 5: 4}

_Parts = list[tuple[int, int | slice]]


@dataclass(frozen=True, slots=True)
class Value:
    """An input or output.

    Attributes:
        name: Its name.
        element: Its TensorProto.DataType.
        shape: Its sizes, 0 where one is not fixed; empty where the file says nothing.
    """

    name: str
    element: int
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """What an ONNX file says of itself.

    Attributes:
        inputs: What it is fed.
        outputs: What it gives.
        dtype: How most of its weights are stored.
        dynamic: Whether it quantises activations by the range they have in a batch, so that a
            text's vector depends on what is computed with it.
        external: Names of the files beside it that hold weights.
    """

    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    dtype: str
    dynamic: bool
    external: tuple[str, ...]


def read_graph(path: Path) -> Graph:
    """Read a file's graph.

    Raises:
        ModelLoadError: The file is no ONNX model.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _graph(data)
    except (OSError, ValueError, IndexError) as error:
        raise unreadable(path, f"no ONNX model: {error}") from error


def _graph(data: mmap.mmap) -> Graph:
    graph = _parts(data, _one(_parts(data, slice(0, len(data))), _MODEL_GRAPH))
    _one(graph, _GRAPH_OUTPUT)
    operators = {_text(data, node, _NODE_OPERATOR) for node in _spans(graph, _GRAPH_NODE)}
    elements: Counter[str] = Counter()
    external: set[str] = set()
    for span in _spans(graph, _GRAPH_INITIALIZER):
        tensor = _parts(data, span)
        dtype = _DTYPES.get(_number(tensor, _TENSOR_TYPE), "")
        elements[dtype] += prod(_dims(data, tensor))
        external.update(_locations(data, tensor))
    return Graph(
        inputs=tuple(_value(data, span) for span in _spans(graph, _GRAPH_INPUT)),
        outputs=tuple(_value(data, span) for span in _spans(graph, _GRAPH_OUTPUT)),
        dtype=max(filter(None, elements), key=elements.__getitem__, default="float32"),
        dynamic=not operators.isdisjoint(_DYNAMIC),
        external=tuple(sorted(external)),
    )


def _value(data: mmap.mmap, span: slice) -> Value:
    kind = _parts(data, _one(_parts(data, _one(_parts(data, span), _VALUE_TYPE)), _TYPE_TENSOR))
    sizes = [
        _number(_parts(data, dim), _DIM_VALUE)
        for shape in _spans(kind, _TENSOR_SHAPE)
        for dim in _spans(_parts(data, shape), _SHAPE_DIM)
    ]
    return Value(_text(data, span, _VALUE_NAME), _number(kind, _TENSOR_ELEMENT), tuple(sizes))


def _dims(data: mmap.mmap, tensor: _Parts) -> Iterator[int]:
    """Yield a tensor's sizes, written one by one or packed into one field."""
    for field, value in tensor:
        if field == _TENSOR_DIMS and isinstance(value, int):
            yield value
        elif field == _TENSOR_DIMS and isinstance(value, slice):
            position = value.start
            while position < value.stop:
                size, position = _varint(data, position)
                yield size


def _locations(data: mmap.mmap, tensor: _Parts) -> Iterator[str]:
    for entry in _spans(tensor, _TENSOR_EXTERNAL):
        if _text(data, entry, _ENTRY_KEY) == "location":
            yield _text(data, entry, _ENTRY_VALUE)


def _parts(data: mmap.mmap, span: slice) -> _Parts:
    """Return a message's fields: their numbers, with a number or with where their bytes lie."""
    parts: _Parts = []
    position = span.start
    while position < span.stop:
        key, position = _varint(data, position)
        value: int | slice
        if key & 7 == _VARINT:
            value, position = _varint(data, position)
        else:
            length, position = _length(data, key & 7, position)
            value = slice(position, position + length)
            position += length
        parts.append((key >> 3, value))
    if position != span.stop:
        message = "a message ends within a field"
        raise ValueError(message)
    return parts


def _length(data: mmap.mmap, wire: int, position: int) -> tuple[int, int]:
    if wire == _BYTES:
        return _varint(data, position)
    if wire in _FIXED:
        return _FIXED[wire], position
    message = f"there is no wire type {wire}"
    raise ValueError(message)


def _varint(data: mmap.mmap, position: int) -> tuple[int, int]:
    number = shift = 0
    while (byte := data[position]) & 0x80:
        number |= (byte & 0x7F) << shift
        shift += 7
        position += 1
    return number | byte << shift, position + 1


def _spans(parts: _Parts, field: int) -> Iterator[slice]:
    return (value for number, value in parts if number == field and isinstance(value, slice))


def _one(parts: _Parts, field: int) -> slice:
    for span in _spans(parts, field):
        return span
    message = f"field {field} is missing"
    raise ValueError(message)


def _number(parts: _Parts, field: int) -> int:
    return next((v for n, v in parts if n == field and isinstance(v, int)), 0)


def _text(data: mmap.mmap, span: slice, field: int) -> str:
    return data[next(_spans(_parts(data, span), field), slice(0, 0))].decode()
