"""ONNX graphs operator by operator. Values go by name; weights have theirs from the safetensors file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from onnx import ModelProto, TensorProto, ValueInfoProto, helper

OPSETS = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
RUNTIME = "com.microsoft"  # operators of ONNX Runtime itself


class Drawing:
    """A graph in the making. T, H, ... in the comments are sizes as in realqa_cli/backends/onnx_graphs.py."""

    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._tensors: dict[str, TensorProto] = {}

    def op(self, kind: str, *inputs: str, outputs: int = 1, domain: str = "", **attributes: Any) -> Any:
        """The name of what the operator gives, or names."""
        names = [f"{kind}_{len(self._nodes)}_{i}" for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, domain=domain, **attributes))
        return names[0] if outputs == 1 else names

    def numbers(self, *values: int) -> str:
        """A constant list."""
        name = "_".join(["numbers", *map(str, values)])
        self._tensors[name] = helper.make_tensor(name, TensorProto.INT64, [len(values)], values)
        return name

    def weight(self, name: str, *shape: int) -> str:
        """A tensor whose values come from outside."""
        tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="model.safetensors")
        self._tensors[name] = tensor
        return name

    def linear(self, x: str, name: str, before: int, after: int, *, bias: bool = True) -> str:
        """x W^T + b for x (T, before)."""
        more = [self.weight(f"{name}.bias", after)] if bias else []
        return str(self.op("Gemm", x, self.weight(f"{name}.weight", after, before), *more, transB=1))

    def layer_norm(self, x: str, name: str, size: int, epsilon: float) -> str:
        """Along the last axis."""
        parts = self.weight(f"{name}.weight", size), self.weight(f"{name}.bias", size)
        return str(self.op("LayerNormalization", x, *parts, epsilon=epsilon, axis=-1))

    def rms_norm(self, x: str, name: str, size: int, epsilon: float) -> str:
        """Along the last axis."""
        scale = self.weight(f"{name}.weight", size)
        return str(self.op("RMSNormalization", x, scale, epsilon=epsilon, axis=-1))

    def activated(self, x: str, name: str) -> str:
        """The activation of that name in a config.json. Raises ValueError for an unknown one."""
        if name == "quick_gelu":
            return str(self.op("QuickGelu", x, domain=RUNTIME, alpha=1.702))
        if name == "silu":
            return str(self.op("QuickGelu", x, domain=RUNTIME, alpha=1.0))
        raise ValueError(f"there is no drawing of the activation {name!r}")

    def gated(self, x: str, name: str, size: int, inner: int, activation: str, *, bias: bool) -> str:
        """down(activation(gate(x)) * up(x)), three linear layers."""
        gate = self.activated(self.linear(x, f"{name}.gate_proj", size, inner, bias=bias), activation)
        wide = self.op("Mul", gate, self.linear(x, f"{name}.up_proj", size, inner, bias=bias))
        return self.linear(wide, f"{name}.down_proj", inner, size, bias=bias)

    def rotate(self, x: str, heads: int, angles: tuple[str, str] = ("cos", "sin")) -> str:
        """Rotary positions by cosines and sines (1, T, size / 2), for x (1, T, heads * size)."""
        return str(self.op("RotaryEmbedding", x, *angles, num_heads=heads))

    def batch(self, x: str) -> str:
        """(T, H) as a batch of one, which attention asks for."""
        return str(self.op("Unsqueeze", x, self.numbers(0)))

    def row(self, x: str) -> str:
        """And back."""
        return str(self.op("Squeeze", x, self.numbers(0)))

    def named(self, x: str, name: str) -> None:
        """The value is an output of the graph."""
        self._nodes.append(helper.make_node("Identity", [x], [name]))

    def model(self, inputs: Sequence[ValueInfoProto], outputs: Sequence[ValueInfoProto]) -> ModelProto:
        """The finished graph."""
        graph = helper.make_graph(self._nodes, "realqa", inputs, outputs, [*self._tensors.values()])
        return helper.make_model(graph, opset_imports=OPSETS, ir_version=11, producer_name="realqa")


def floats(name: str, *shape: int | str) -> ValueInfoProto:
    """An input or output; sizes that vary go by name."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def integers(name: str, *shape: int | str) -> ValueInfoProto:
    """The same, of indices."""
    return helper.make_tensor_value_info(name, TensorProto.INT64, shape)


def truths(name: str, *shape: int | str) -> ValueInfoProto:
    """The same, of True and False."""
    return helper.make_tensor_value_info(name, TensorProto.BOOL, shape)
