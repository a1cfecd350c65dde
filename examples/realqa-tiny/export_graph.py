"""Draws the graphs by which the `onnx` backend runs a model: `python export_graph.py MODEL_FOLDER`.

It writes `onnx/` into the folder of a Qwen2-VL or Qwen2.5-VL: the vision tower (of the latter also without
gates), the language model, and the architecture that they are for. No weights are read or written: the
backend takes those that lie in the folder. So nothing is to be exported again after training, and the same
graphs serve all models of an architecture.

Needs the package onnx.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from drawing import RUNTIME, Drawing, floats, integers, truths
from onnx import ModelProto

from realqa_cli.backends.base import UnsupportedModel
from realqa_cli.backends.chat_templates import render_question
from realqa_cli.backends.onnx.graphs import ARCHITECTURE, LANGUAGE, UNGATED, VISION, architecture, vision_size
from realqa_cli.backends.onnx.templates import RENDERED, ChatTemplate
from realqa_cli.domain.attributes import ATTRIBUTES
from realqa_cli.domain.prompts import PLAIN_CHAT
from realqa_cli.domain.prompts.conversations import (
    COT_QUESTION,
    COT_REGULAR_QUESTION,
    DIRECT_QUESTION,
    MIX_QUESTION,
    about,
    attribute_question,
)

FAMILIES = ("qwen2_vl", "qwen2_5_vl")
EPSILON = 1e-6  # of the vision towers' norms; config.json does not name it


class Tower:
    """The vision tower: (P, C) patches of one image, and a kernel for them, to (F, H) visual tokens.

    The kernel is not a weight of the graph: photos, whose frames are all the same, take one of half the size.
    ungated: for weights whose gates do nothing, see `onnx_graphs.ungated`.
    """

    def __init__(self, config: Mapping[str, Any], *, ungated: bool = False) -> None:
        self._config, self._ungated, self._draw = config, ungated, Drawing()
        self._size, self._heads = vision_size(config), config["num_heads"]
        self._newer = "out_hidden_size" in config  # Qwen2.5-VL's: other norms, gates, windows
        self._norm = self._draw.rms_norm if self._newer else self._draw.layer_norm
        whole = set(config.get("fullatt_block_indexes") or ())
        self._windowed = {*range(config["depth"])} - whole if self._newer else set()

    def model(self) -> ModelProto:
        """The graph."""
        config, draw, size = self._config, self._draw, self._size
        x = draw.op("Gemm", "pixels", "kernel", transB=1)
        for block in range(config["depth"]):
            name = f"visual.blocks.{block}"
            x = draw.op("Add", x, self._attention(self._normed(x, f"{name}.norm1"), f"{name}.attn", block))
            x = draw.op("Add", x, self._mlp(self._normed(x, f"{name}.norm2"), f"{name}.mlp"))
        merged = size * config["spatial_merge_size"] ** 2
        after = config["out_hidden_size"] if self._newer else config["hidden_size"]
        x = draw.op("Reshape", self._normed(x, "visual.merger.ln_q"), draw.numbers(-1, merged))
        x = draw.op("Gelu", draw.linear(x, "visual.merger.mlp.0", merged, merged))
        draw.named(draw.linear(x, "visual.merger.mlp.2", merged, after), "features")
        half = size // self._heads // 2
        inputs = [floats("pixels", "P", "C"), floats("kernel", size, "C")]
        inputs += [floats("cos", 1, "P", half), floats("sin", 1, "P", half)]
        if self._windowed:
            inputs += [integers("whole", "W", "S"), integers("edges", "V", "E")]
            inputs += [truths("held", "V", 1, "E", "E"), integers("back", "P")]
        return draw.model(inputs, [floats("features", "F", after)])

    def _normed(self, x: str, name: str) -> str:
        return self._norm(x, name, self._size, EPSILON)

    def _attention(self, x: str, name: str, block: int) -> str:
        draw, size, heads = self._draw, self._size, self._heads
        joined = draw.batch(draw.linear(x, f"{name}.qkv", size, 3 * size))
        query, key, value = draw.op("Split", joined, outputs=3, axis=-1, num_outputs=3)
        parts = [draw.rotate(query, heads), draw.rotate(key, heads), value]
        if block in self._windowed:
            shown = [[draw.op("Gather", draw.row(part), w) for part in parts] for w in ("whole", "edges")]
            whole = draw.op("MultiHeadAttention", *shown[0], domain=RUNTIME, num_heads=heads)
            edges = draw.op("Attention", *shown[1], "held", q_num_heads=heads, kv_num_heads=heads)
            flat = [draw.op("Reshape", each, draw.numbers(-1, size)) for each in (whole, edges)]
            seen = draw.op("Gather", draw.op("Concat", *flat, axis=0), "back")
        else:
            seen = draw.row(draw.op("MultiHeadAttention", *parts, domain=RUNTIME, num_heads=heads))
        return draw.linear(seen, f"{name}.proj", size, size)

    def _mlp(self, x: str, name: str) -> str:
        draw, size, activation = self._draw, self._size, self._config["hidden_act"]
        if not self._newer:
            inner, ends = int(size * self._config["mlp_ratio"]), ("fc1", "fc2")
        elif self._ungated:
            inner, ends = self._config["intermediate_size"], ("gate_proj", "down_proj")
        else:
            return draw.gated(x, name, size, self._config["intermediate_size"], activation, bias=True)
        wide = draw.activated(draw.linear(x, f"{name}.{ends[0]}", size, inner), activation)
        return draw.linear(wide, f"{name}.{ends[1]}", inner, size)


def language(config: Mapping[str, Any], *, tied: bool) -> ModelProto:
    """T new tokens after the keys and values of others: what follows some, and all keys and values."""
    size, heads, kept = (config[n] for n in ("hidden_size", "num_attention_heads", "num_key_value_heads"))
    layers, words, each = config["num_hidden_layers"], config["vocab_size"], size // heads
    epsilon, inner, activation = config["rms_norm_eps"], config["intermediate_size"], config["hidden_act"]
    draw = Drawing()
    x = draw.op("Gather", draw.weight("model.embed_tokens.weight", words, size), "ids")
    x = draw.op("ScatterND", x, draw.op("Unsqueeze", "places", draw.numbers(1)), "features")
    past = draw.op("Split", "past", outputs=2 * layers, axis=0, num_outputs=2 * layers)
    present = []
    mask, angles = "mask", ("cos", "sin")
    for layer in range(layers):
        name = f"model.layers.{layer}"
        entered = asking = draw.rms_norm(x, f"{name}.input_layernorm", size, epsilon)
        if layer == layers - 1:  # of what nobody asks about, only keys and values are left to compute
            x, asking = draw.op("Gather", x, "rows"), draw.op("Gather", entered, "rows")
            mask, angles = (
                draw.op("Gather", mask, "rows"),
                tuple(draw.op("Gather", part, "rows", axis=1) for part in angles),
            )
        query, key, value = (
            draw.batch(draw.linear(read, f"{name}.self_attn.{part}_proj", size, count * each))
            for part, read, count in (("q", asking, heads), ("k", entered, kept), ("v", entered, kept))
        )
        parts = draw.rotate(query, heads, angles), draw.rotate(key, kept), value, mask
        before = past[2 * layer : 2 * layer + 2]
        seen, *pair = draw.op("Attention", *parts, *before, outputs=3, q_num_heads=heads, kv_num_heads=kept)
        present += pair
        x = draw.op("Add", x, draw.linear(draw.row(seen), f"{name}.self_attn.o_proj", size, size, bias=False))
        entered = draw.rms_norm(x, f"{name}.post_attention_layernorm", size, epsilon)
        x = draw.op("Add", x, draw.gated(entered, f"{name}.mlp", size, inner, activation, bias=False))
    draw.named(draw.op("Concat", *present, axis=0), "present")
    x = draw.rms_norm(x, "model.norm", size, epsilon)
    head = "model.embed_tokens" if tied else "lm_head"
    draw.named(draw.op("LogSoftmax", draw.linear(x, head, size, words, bias=False), axis=-1), "log_probs")
    inputs = [integers("ids", "T"), integers("places", "F"), integers("rows", "R"), truths("mask", "T", "K")]
    inputs += [
        floats("features", "F", size),
        floats("cos", 1, "T", each // 2),
        floats("sin", 1, "T", each // 2),
    ]
    inputs += [floats("past", 2 * layers, kept, "before", each)]
    outputs = [floats("log_probs", "R", words), floats("present", 2 * layers, kept, "K", each)]
    return draw.model(inputs, outputs)


def check(wanted: Mapping[str, Any]) -> None:
    """Raises ValueError for an architecture that is drawn differently here."""
    known = {
        "model_type": (wanted["model_type"], FAMILIES),
        "rope_type": (wanted["ropes"], (["axial", "default"],)),
        "head_dim": (wanted["text"]["head_dim"], (None,)),
        "use_sliding_window": (wanted["text"]["use_sliding_window"], (None, False)),
    }
    for name, (value, drawn) in known.items():
        if value not in drawn:
            raise ValueError(f"{name} is {value!r}; graphs are drawn for {' or '.join(map(repr, drawn))}")


def export(folder: Path) -> None:
    """Writes the graphs for the model in `folder`. Raises ValueError for other architectures."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    wanted = architecture(config)
    check(wanted)
    place = folder / "onnx"
    place.mkdir(exist_ok=True)
    graphs = {
        VISION: Tower(config["vision_config"]).model(),
        LANGUAGE: language(config["text_config"], tied=wanted["tie_word_embeddings"]),
    }
    if wanted["model_type"] == "qwen2_5_vl":
        graphs[UNGATED] = Tower(config["vision_config"], ungated=True).model()
    for name, graph in graphs.items():
        (place / name).write_bytes(graph.SerializeToString(deterministic=True))
    (place / ARCHITECTURE).write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
    if (folder / "tokenizer_config.json").is_file():
        render_prompts(folder)


def render_prompts(folder: Path) -> None:
    """Writes the texts of the questions that commands ask by default; those of the bundled model are used."""
    config = folder / "realqa.json"
    model = json.loads(config.read_text(encoding="utf-8")) if config.is_file() else {}
    asked = [
        DIRECT_QUESTION,
        COT_QUESTION,
        COT_REGULAR_QUESTION,
        MIX_QUESTION,
        *(model.get("questions") or {}).values(),
    ]
    asked += [attribute_question(attribute) for attribute in ATTRIBUTES.values()]
    rendered: list[tuple[list[dict[str, Any]], Mapping[str, Any]]] = []

    def record(messages: list[dict[str, Any]], arguments: Mapping[str, Any]) -> str:
        rendered.append((messages, arguments))
        return ""

    render_question(record, "", 0, 1, PLAIN_CHAT)
    for question in dict.fromkeys(asked):
        render_question(record, about(question, "image"), 1, 0, PLAIN_CHAT)
        render_question(record, about(question, "video"), 0, 1, PLAIN_CHAT)
    ChatTemplate(folder).save(rendered, folder / "onnx" / RENDERED)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="the model folder")
    try:
        export(parser.parse_args().folder)
    except (ValueError, UnsupportedModel) as error:
        parser.error(str(error))
