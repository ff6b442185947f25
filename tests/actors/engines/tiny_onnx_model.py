"""Builds real, tiny ONNX models: each token's vector is its row in a table."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_static_model import VOCABULARY, bert_tokenizer
from tokenizers.processors import TemplateProcessing

from actors.engines import onnx as engine
from actors.engines.base import silent
from actors.engines.spec import parse

DIMENSION = 6
TABLE = np.random.default_rng(3).normal(size=(len(VOCABULARY), DIMENSION)).astype(np.float32)
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
CONFIG = {"model_type": "bert", "hidden_size": DIMENSION, "max_position_embeddings": 16}


def rows(*tokens):
    return TABLE[[VOCABULARY.index(token) for token in tokens]]


def write_model(
    folder: Path,
    file="model.onnx",
    pooled=False,
    inputs=INPUTS,
    element=TensorProto.INT64,
    dtype=np.float32,
    external=False,
    dynamic=False,
    **files,
):
    """Write a model's folder; `files` are JSON files by their name without ".json"."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).parent.mkdir(exist_ok=True)
    graph = _graph(pooled, inputs, element, dtype, dynamic)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    location = {"location": Path(file).name + "_data", "size_threshold": 0} if external else {}
    onnx.save_model(model, folder / file, save_as_external_data=external, **location)
    tokenizer = bert_tokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="( $A", pair="( $A $B", special_tokens=[("(", VOCABULARY.index("("))]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, content in {"config": CONFIG, **files}.items():
        (folder / f"{name}.json").parent.mkdir(exist_ok=True)
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def describe_folder(path: Path, options=""):
    return engine.describe(parse(f"onnx:{path}?{options}"), path)


def open_folder(path: Path, options="", threads=2):
    return engine.open_model(describe_folder(path, options), threads, silent)


def _graph(pooled, inputs, element, dtype, dynamic):
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    axes = {"last": np.array([2]), "tokens": np.array([1])}
    constants = {"table": TABLE.astype(dtype), **(axes if pooled else {})}
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    output, shape = "last_hidden_state", ["texts", "tokens", DIMENSION]
    if pooled:  # by the sum, whose direction is the mean's
        nodes += [
            helper.make_node("Unsqueeze", ["attention_mask", "last"], ["column"]),
            helper.make_node("Cast", ["column"], ["weight"], to=kind),
            helper.make_node("Mul", [output, "weight"], ["weighed"]),
            helper.make_node(
                "ReduceSum", ["weighed", "tokens"], ["sentence_embedding"], keepdims=0
            ),
        ]
        output, shape = "sentence_embedding", ["texts", DIMENSION]
    if dynamic:  # what it gives is not used: the graph then counts as one of int8
        quantised = ["quantised", "step", "zero"]
        nodes.append(helper.make_node("DynamicQuantizeLinear", [output], quantised))
    values = [helper.make_tensor_value_info(name, element, ["texts", "tokens"]) for name in inputs]
    outputs = [helper.make_tensor_value_info(output, kind, shape)]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return helper.make_graph(nodes, "tiny", values, outputs, weights)
