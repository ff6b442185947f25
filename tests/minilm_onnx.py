"""Writes MiniLM's safetensors as a float32 ONNX model of opset 17, as an exporter would."""

import math
import shutil

import numpy as np
import onnx
from minilm_reference import EPSILON, HEADS, Reference
from onnx import TensorProto, helper, numpy_helper

COMPANIONS = ("config.json", "tokenizer.json", "tokenizer_config.json", "modules.json")


def write_minilm(source, folder):
    """Write `model.onnx`, whose output is `last_hidden_state`, and what belongs to it."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*COMPANIONS, "sentence_bert_config.json"):
        shutil.copy(source / name, folder)
    shutil.copytree(source / "1_Pooling", folder / "1_Pooling")
    onnx.save(_Builder(Reference(source)).model(), folder / "model.onnx")
    return folder


class _Builder:
    def __init__(self, reference):
        self.weights, self.layers = reference.weights, reference.layers
        self.nodes, self.constants = [], {}

    def model(self):
        x = self._embeddings()
        mask = self._op("Unsqueeze", "attention_mask", self._ints("axes", [1, 2]))
        mask = self._op("Cast", mask, to=TensorProto.FLOAT)
        mask = self._op(
            "Mul", self._op("Sub", mask, self._floats("one", 1)), self._floats("big", 1e9)
        )
        for number in range(self.layers):
            x = self._layer(f"encoder.layer.{number}.", x, mask)
        self.nodes.append(helper.make_node("Identity", [x], ["last_hidden_state"]))
        names = ("input_ids", "attention_mask", "token_type_ids")
        inputs = [_value(name, TensorProto.INT64, ["batch", "tokens"]) for name in names]
        output = _value("last_hidden_state", TensorProto.FLOAT, ["batch", "tokens", 384])
        constants = [numpy_helper.from_array(a, name) for name, a in self.constants.items()]
        graph = helper.make_graph(self.nodes, "minilm", inputs, [output], constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def _embeddings(self):
        words = self._op("Gather", self._weight("embeddings.word_embeddings.weight"), "input_ids")
        kinds = self._weight("embeddings.token_type_embeddings.weight")
        kinds = self._op("Gather", kinds, "token_type_ids")
        length = self._op("Shape", "input_ids", start=1, end=2)
        places = self._weight("embeddings.position_embeddings.weight")
        places = self._op("Slice", places, self._ints("zero", [0]), length, self._ints("row", [0]))
        x = self._op("Add", self._op("Add", words, places), kinds)
        return self._norm("embeddings.LayerNorm", x)

    def _layer(self, layer, x, mask):
        attended = self._dense(layer + "attention.output.dense", self._attend(layer, x, mask))
        x = self._norm(layer + "attention.output.LayerNorm", self._op("Add", x, attended))
        inner = self._dense(layer + "intermediate.dense", x)
        bell = self._op("Erf", self._op("Div", inner, self._floats("root", math.sqrt(2))))
        inner = self._op("Mul", inner, self._op("Add", bell, self._floats("one", 1)))
        inner = self._op("Mul", inner, self._floats("half", 0.5))
        inner = self._dense(layer + "output.dense", inner)
        return self._norm(layer + "output.LayerNorm", self._op("Add", x, inner))

    def _attend(self, layer, x, mask):
        heads = self._ints("heads", [0, 0, HEADS, 384 // HEADS])
        orders = {"query": [0, 2, 1, 3], "key": [0, 2, 3, 1], "value": [0, 2, 1, 3]}
        query, key, value = (
            self._op(
                "Transpose",
                self._op("Reshape", self._dense(f"{layer}attention.self.{part}", x), heads),
                perm=order,
            )
            for part, order in orders.items()
        )
        scores = self._op("MatMul", query, key)
        scores = self._op("Div", scores, self._floats("scale", math.sqrt(384 // HEADS)))
        scores = self._op("Softmax", self._op("Add", scores, mask), axis=-1)
        mixed = self._op("Transpose", self._op("MatMul", scores, value), perm=[0, 2, 1, 3])
        return self._op("Reshape", mixed, self._ints("whole", [0, 0, 384]))

    def _dense(self, name, x):
        turned = np.ascontiguousarray(self.weights[name + ".weight"].T)
        product = self._op("MatMul", x, self._constant(name + ".weight", turned))
        return self._op("Add", product, self._weight(name + ".bias"))

    def _norm(self, name, x):
        scale, bias = self._weight(name + ".weight"), self._weight(name + ".bias")
        return self._op("LayerNormalization", x, scale, bias, axis=-1, epsilon=EPSILON)

    def _weight(self, name):
        return self._constant(name, self.weights[name])

    def _floats(self, name, number):
        return self._constant(name, np.float32(number))

    def _ints(self, name, numbers):
        return self._constant(name, np.array(numbers, dtype=np.int64))

    def _constant(self, name, array):
        self.constants[name] = np.asarray(array)
        return name

    def _op(self, kind, *inputs, **attributes):
        output = f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], output, **attributes))
        return output


def _value(name, element, shape):
    return helper.make_tensor_value_info(name, element, shape)
