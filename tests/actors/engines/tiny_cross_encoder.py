"""Builds real, tiny cross-encoders: a pair's score is how many tokens its two texts share.

Each token of the query counts once for each equal one of the text. Without `token_type_ids`, which
tell the two apart, the score is the number of tokens.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tiny_onnx_model import CONFIG, INPUTS
from tiny_static_model import VOCABULARY, bert_tokenizer
from tokenizers.processors import TemplateProcessing

ARCHITECTURE = {"architectures": ["BertForSequenceClassification"]}
ONE_LABEL = {**CONFIG, **ARCHITECTURE, "id2label": {"0": "LABEL_0"}}


def write_cross_encoder(folder: Path, inputs=INPUTS, config=ONE_LABEL, labels=1, dynamic=False):
    """Write a model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    graph = _graph(inputs, labels, dynamic)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save_model(model, folder / "model.onnx")
    tokenizer = bert_tokenizer()
    tokenizer.post_processor = TemplateProcessing(
        single="( $A", pair="(:0 $A:0 $B:1", special_tokens=[("(", VOCABULARY.index("("))]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def shared(query, text):
    """Return the score of a pair of words that are tokens."""
    return sum(word == other for word in query.split() for other in text.split())


def _graph(inputs, labels, dynamic):
    constants = {"one": np.array(1), "middle": np.array([1]), "last": np.array([2])}
    constants |= {"both": np.array([1, 2]), "labels": np.array([1, labels])}
    nodes = _tokens_shared() if "token_type_ids" in inputs else _tokens()
    nodes += [
        helper.make_node("Unsqueeze", ["shared", "middle"], ["column"]),
        helper.make_node("Tile", ["column", "labels"], ["logits"]),
    ]
    if dynamic:  # what it gives is not used: the graph then counts as one of int8
        nodes.append(
            helper.make_node("DynamicQuantizeLinear", ["logits"], ["quantised", "step", "zero"])
        )
    values = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "tokens"])
        for name in inputs
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["texts", labels])]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    return helper.make_graph(nodes, "tiny", values, outputs, weights)


def _tokens():
    return [
        helper.make_node("ReduceSum", ["attention_mask", "middle"], ["count"], keepdims=0),
        helper.make_node("Cast", ["count"], ["shared"], to=TensorProto.FLOAT),
    ]


def _tokens_shared():
    make = helper.make_node
    return [
        make("Sub", ["one", "token_type_ids"], ["first"]),
        make("Mul", ["first", "attention_mask"], ["query"]),
        make("Mul", ["token_type_ids", "attention_mask"], ["text"]),
        make("Unsqueeze", ["input_ids", "last"], ["rows"]),
        make("Unsqueeze", ["input_ids", "middle"], ["columns"]),
        make("Equal", ["rows", "columns"], ["same"]),
        make("Unsqueeze", ["query", "last"], ["query_rows"]),
        make("Unsqueeze", ["text", "middle"], ["text_columns"]),
        make("Mul", ["query_rows", "text_columns"], ["pairs"]),
        make("Cast", ["same"], ["equal"], to=TensorProto.INT64),
        make("Mul", ["equal", "pairs"], ["counted"]),
        make("ReduceSum", ["counted", "both"], ["count"], keepdims=0),
        make("Cast", ["count"], ["shared"], to=TensorProto.FLOAT),
    ]
