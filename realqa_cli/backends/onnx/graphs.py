"""The graphs of the `onnx` and `openvino` backends: a vision tower and a language model.

The graphs contain an architecture without weights. The weights come from the safetensors of the model folder,
so they are stored once and cannot differ from the graph. A folder without graphs uses the bundled ones if its
architecture is the same, as for every model that was trained from realqa-tiny.

The graphs are exported by examples/realqa-tiny/export_graph.py. Shapes: P patches, F visual tokens, T new tokens,
K all tokens, R rows, V the vocabulary, H a hidden size.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realqa_cli import models
from realqa_cli.backends.base import UnsupportedModel
from realqa_cli.backends.onnx.runtimes import Array, Runtime

Ids = NDArray[np.int64]

VISION, UNGATED = "vision.onnx", "vision-ungated.onnx"
LANGUAGE, ARCHITECTURE = "language.onnx", "architecture.json"

GATE = ".mlp.up_proj."
"""Part of the names of the weights that the gates of a vision tower multiply."""

KERNEL = "visual.patch_embed.proj.weight"
"""The weight of the patch embedding."""

_FORM = 2
"""Version of the inputs and outputs of the graphs; graphs of another version are not used."""

_VISION = (
    "depth",
    "embed_dim",
    "fullatt_block_indexes",
    "hidden_act",
    "hidden_size",
    "in_channels",
    "intermediate_size",
    "mlp_ratio",
    "num_heads",
    "out_hidden_size",
    "patch_size",
    "spatial_merge_size",
    "temporal_patch_size",
    "window_size",
)
_TEXT = (
    "head_dim",
    "hidden_act",
    "hidden_size",
    "intermediate_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "use_sliding_window",
    "vocab_size",
)


def architecture(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a config.json that determines the graphs. Raises UnsupportedModel if it is incomplete."""
    try:
        vision, text = config["vision_config"], config["text_config"]
        return {
            "form": _FORM,
            "model_type": config["model_type"],
            "tie_word_embeddings": config.get("tie_word_embeddings", False),
            "vision": {name: vision.get(name) for name in _VISION},
            "text": {name: text.get(name) for name in _TEXT},
            "ropes": [vision["rope_parameters"]["rope_type"], text["rope_parameters"]["rope_type"]],
        }
    except (KeyError, TypeError, AttributeError) as error:
        raise UnsupportedModel("its config.json does not describe a supported architecture") from error


def vision_size(vision: Mapping[str, Any]) -> int:
    """The hidden size of a vision tower; its name in the configuration depends on the family."""
    return int(vision["hidden_size"] if "embed_dim" not in vision else vision["embed_dim"])


def folder_of(base: Path, config: Mapping[str, Any]) -> Path:
    """The folder with the graphs for a model folder and its config.json. Raises UnsupportedModel."""
    required = architecture(config)
    for place in (base / "onnx", models.path(models.BUNDLED[0]) / "onnx"):
        try:
            if json.loads((place / ARCHITECTURE).read_text(encoding="utf-8")) == required:
                return place
        except (OSError, ValueError):
            continue
    raise UnsupportedModel(
        "no ONNX graphs exist for its architecture",
        where=str(base),
        remedy="use --backend hf, or export graphs with examples/realqa-tiny/export_graph.py",
    )


def ungated(weights: Mapping[str, Array]) -> bool:
    """Whether the gates of the vision tower's MLPs are multiplied by 1 everywhere.

    This holds for a Qwen2.5-VL converted from a Qwen2-VL; a third of the work of its MLPs can be skipped.
    """
    parts = {name: value for name, value in weights.items() if GATE in name and "visual." in name}
    return bool(parts) and all((v == (1 if name.endswith("bias") else 0)).all() for name, v in parts.items())


class Graphs:
    """Both graphs with the weights of a model folder. Raises UnsupportedModel if they do not fit together."""

    def __init__(self, base: Path, config: Mapping[str, Any], runtime: Runtime) -> None:
        place, weights = folder_of(base, config), _weights(base / "model.safetensors")
        self._kernels = _kernels(weights.pop(KERNEL, None), config["vision_config"])
        visual = {name: value for name, value in weights.items() if name.startswith("visual.")}
        others = {name: value for name, value in weights.items() if name not in visual}
        vision_graph = place / VISION
        if ungated(visual) and (place / UNGATED).exists():
            vision_graph = place / UNGATED
            visual = {name: value for name, value in visual.items() if GATE not in name}
        self._vision = runtime.open(vision_graph, visual)
        self._language = runtime.open(place / LANGUAGE, others)
        text, vision = config["text_config"], config["vision_config"]
        self._merge, window = int(vision["spatial_merge_size"]), vision.get("window_size")
        self._window = window // vision["patch_size"] // self._merge * self._merge if window else None
        self._cached_positions = lru_cache(maxsize=8)(self._vision_positions)  # photos often share one size
        self._axial = _frequencies(vision, vision_size(vision) // vision["num_heads"] // 2)
        self._rotary = _frequencies(text, text["hidden_size"] // text["num_attention_heads"])
        self._sections = np.cumsum(text["rope_parameters"]["mrope_section"])[:-1]
        layers, heads = text["num_hidden_layers"], text["num_key_value_heads"]
        self.empty_cache: Array = np.zeros((2 * layers, heads, 0, 2 * len(self._rotary)), np.float32)
        """Keys and values (2 * layers, heads, K, head size) before any text: K is 0."""
        self.no_features: Array = np.zeros((0, text["hidden_size"]), np.float32)
        """(F, H) features without a visual token: F is 0."""
        self._files = [vision_graph, place / LANGUAGE]

    def digest(self) -> str:
        """ "sha256:..." of both graphs."""
        joined = b"".join(file.read_bytes() for file in self._files)
        return f"sha256:{hashlib.sha256(joined).hexdigest()}"

    def encode_image(self, patches_P_C: Array, grid: tuple[int, int, int]) -> Array:
        """(F, H) features of an image's visual tokens; its grid is (1, rows, columns).

        patches_P_C: patches of all frames, or of one frame that is repeated.
        """
        inputs = {"pixels": patches_P_C, "kernel": self._kernels[patches_P_C.shape[1]], **self._cached_positions(grid)}
        (features,) = self._vision(["features"], inputs)
        return features

    def _vision_positions(self, grid: tuple[int, int, int]) -> dict[str, Any]:
        """The position inputs of the vision graph for a grid of patches."""
        _, rows, columns = grid
        merge = self._merge
        cells = np.indices((rows, columns)).reshape(2, rows // merge, merge, columns // merge, merge)
        cells_2_P = cells.transpose(0, 1, 3, 2, 4).reshape(2, -1)
        angles_2_P_D = cells_2_P[..., None].astype(np.float32) * self._axial
        inputs: dict[str, Any] = {**_rotary_inputs(np.concatenate([*angles_2_P_D], axis=1))}
        return inputs if self._window is None else inputs | window_attention(cells_2_P // self._window)

    def forward(
        self,
        ids_T: Ids,
        positions_3_T: Ids,
        mask_T_K: NDArray[np.bool_],
        past: Array,
        rows_R: Ids,
        places_F: Ids,
        features_F_H: Array,
    ) -> tuple[Array, Array]:
        """(R, V) log-probabilities of the token after each of `rows`, and the keys and values of all K tokens.

        ids_T, positions_3_T: the new tokens, after those of `past`, and their positions on the three axes.
        mask_T_K: the tokens that each new one attends to.  places_F: indices of the visual tokens in T.
        """
        angles_3_T_D = positions_3_T[..., None].astype(np.float32) * self._rotary
        parts = np.split(angles_3_T_D, self._sections, axis=-1)
        angles_T_D = np.concatenate([part[i % 3] for i, part in enumerate(parts)], axis=-1)
        inputs = {"ids": ids_T, "mask": mask_T_K, "past": past, "rows": rows_R}
        inputs |= {"places": places_F, "features": features_F_H, **_rotary_inputs(angles_T_D)}
        log_probs_R_V, present = self._language(["log_probs", "present"], inputs)
        return log_probs_R_V, present


def _kernels(given: Array | None, vision: Mapping[str, Any]) -> dict[int, Array]:
    """The kernel (H, C) of the patch embedding for all frames and for one repeated frame, by C.

    Raises UnsupportedModel for a weight of another shape.
    """
    frames, channels = vision["temporal_patch_size"], vision.get("in_channels") or 3
    try:
        kernel_H_C_T_N = np.asarray(given).reshape(len(np.asarray(given)), channels, frames, -1)
    except (TypeError, ValueError) as error:
        raise UnsupportedModel("its vision tower does not start with a patch embedding", where=KERNEL) from error
    both = (kernel.reshape(len(kernel), -1) for kernel in (kernel_H_C_T_N, kernel_H_C_T_N.sum(axis=2)))
    return {kernel.shape[1]: kernel for kernel in both}


def _frequencies(config: Mapping[str, Any], size: int) -> Array:
    """(size / 2,) angle per position of each rotary dimension, in float32 as the models compute them."""
    theta = np.float32(config["rope_parameters"]["rope_theta"])
    return (1 / theta ** (np.arange(0, size, 2, dtype=np.float32) / np.float32(size))).astype(np.float32)


def window_attention(tiles_2_P: Ids) -> dict[str, Any]:
    """The inputs of windowed attention, in which a patch attends to the patches of its tile of the image.

    whole (W, S): the patches of each full-size tile.
    edges (V, E): the patches of smaller tiles at the edges of the image, packed into rows and padded with the
    first patch.  held (V, 1, E, E): the attention mask of a row.
    back (P,): the index of each patch in the concatenation of both.
    """
    _, tile_P, sizes_N = np.unique(tiles_2_P, axis=1, return_inverse=True, return_counts=True)
    tiles = np.split(np.argsort(tile_P, kind="stable"), np.cumsum(sizes_N)[:-1])
    whole = np.stack([tile for tile in tiles if len(tile) == sizes_N.max()])
    rows = _rows([tile for tile in tiles if len(tile) < sizes_N.max()])
    shape = max(1, len(rows)), max((len(row[0]) for row in rows), default=1)
    edges, owners = np.zeros(shape, np.int64), np.full(shape, -1)
    for index, row in enumerate(rows):
        end = sum(map(len, row))
        edges[index, :end] = np.concatenate(row)
        owners[index, :end] = np.repeat(range(len(row)), [*map(len, row)])
    real = owners >= 0
    back = np.empty(len(tile_P), np.int64)
    back[whole.reshape(-1)] = np.arange(whole.size)
    back[edges[real]] = whole.size + np.flatnonzero(real)
    held = owners[:, None, :, None] == owners[:, None, None]
    return {"whole": whole, "edges": edges, "held": held, "back": back}


def _rows(tiles: list[Ids]) -> list[list[Ids]]:
    """Packs the tiles into rows no longer than the largest one: largest first, first fit."""
    rows: list[list[Ids]] = []
    for tile in sorted(tiles, key=len, reverse=True):
        fitting = (row for row in rows if sum(map(len, row)) + len(tile) <= len(rows[0][0]))
        if (row := next(fitting, None)) is None:
            rows.append([tile])
        else:
            row.append(tile)
    return rows


def _rotary_inputs(angles_T_D: Array) -> dict[str, Array]:
    return {"cos": np.cos(angles_T_D)[None], "sin": np.sin(angles_T_D)[None]}


def _weights(file: Path) -> dict[str, Array]:
    """All tensors of a safetensors file in float32; convolutions as matrices. Raises UnsupportedModel."""
    from safetensors import SafetensorError, deserialize

    try:
        tensors = deserialize(file.read_bytes())
        return {name: _in_float32(**tensor) for name, tensor in tensors}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UnsupportedModel(f"its weights cannot be read ({error})", where=str(file)) from error


def _in_float32(data: bytes, dtype: str, shape: list[int]) -> Array:
    if dtype == "BF16":  # bfloat16 is the upper half of a float32
        flat = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        flat = np.frombuffer(data, {"F16": np.float16, "F32": np.float32}[dtype]).astype(np.float32)
    return flat.reshape(shape if len(shape) <= 2 else (shape[0], -1))
