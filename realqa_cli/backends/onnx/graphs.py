"""The graphs of the `onnx` and `openvino` backends: a model's vision tower and its language model.

The graphs hold an architecture and no weights: these come from the model folder's safetensors, so that they
are stored once and a graph is never older than they are. Folders without graphs of their own use the bundled
ones where the architecture is the same, as it is for every model that was trained from realqa-tiny.

The graphs are made by examples/realqa-tiny/export_graph.py. Shapes: P patches, F visual tokens, T new tokens,
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
"""In the names of what the gates of a vision tower multiply."""

KERNEL = "visual.patch_embed.proj.weight"
"""By which patches enter the vision tower."""

_FORM = 2
"""Of the graphs' inputs and outputs; graphs of another form are not taken."""

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
    """What of a config.json decides the graphs. Raises Unfit for one without the two parts."""
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
        raise UnsupportedModel("its config.json tells no architecture that graphs are made for") from error


def vision_size(vision: Mapping[str, Any]) -> int:
    """The hidden size of a vision tower, by its configuration: the families call it differently."""
    return int(vision["hidden_size"] if "embed_dim" not in vision else vision["embed_dim"])


def folder_of(base: Path, config: Mapping[str, Any]) -> Path:
    """The folder with the graphs for a model folder with that configuration. Raises Unfit."""
    wanted = architecture(config)
    for place in (base / "onnx", models.path(models.BUNDLED[0]) / "onnx"):
        try:
            if json.loads((place / ARCHITECTURE).read_text(encoding="utf-8")) == wanted:
                return place
        except (OSError, ValueError):
            continue
    raise UnsupportedModel(
        "there are no graphs for its architecture",
        where=str(base),
        remedy="use --backend hf, or make them with examples/realqa-tiny/export_graph.py",
    )


def ungated(weights: Mapping[str, Array]) -> bool:
    """Whether the gates of the vision tower's MLPs do nothing: what they are multiplied with is always 1.

    So it is in a Qwen2.5-VL that was made of a Qwen2-VL; a third of the work of its MLPs can be left out.
    """
    parts = {name: value for name, value in weights.items() if GATE in name and "visual." in name}
    return bool(parts) and all((v == (1 if name.endswith("bias") else 0)).all() for name, v in parts.items())


class Graphs:
    """Both graphs with the weights of one model folder. Raises Unfit where they do not go together."""

    def __init__(self, base: Path, config: Mapping[str, Any], runtime: Runtime) -> None:
        place, weights = folder_of(base, config), _weights(base / "model.safetensors")
        self._kernels = _kernels(weights.pop(KERNEL, None), config["vision_config"])
        visual = {name: value for name, value in weights.items() if name.startswith("visual.")}
        others = {name: value for name, value in weights.items() if name not in visual}
        seen = place / VISION
        if ungated(visual) and (place / UNGATED).exists():
            seen = place / UNGATED
            visual = {name: value for name, value in visual.items() if GATE not in name}
        self._vision = runtime.open(seen, visual)
        self._language = runtime.open(place / LANGUAGE, others)
        text, vision = config["text_config"], config["vision_config"]
        self._merge, window = int(vision["spatial_merge_size"]), vision.get("window_size")
        self._window = window // vision["patch_size"] // self._merge * self._merge if window else None
        self._placed = lru_cache(maxsize=8)(self._places)  # photos of a camera are all of one size
        self._axial = _frequencies(vision, vision_size(vision) // vision["num_heads"] // 2)
        self._rotary = _frequencies(text, text["hidden_size"] // text["num_attention_heads"])
        self._sections = np.cumsum(text["rope_parameters"]["mrope_section"])[:-1]
        layers, heads = text["num_hidden_layers"], text["num_key_value_heads"]
        self.unread: Array = np.zeros((2 * layers, heads, 0, 2 * len(self._rotary)), np.float32)
        """The keys and values (2 * layers, heads, K, head size) of no text: K is 0."""
        self.unseen: Array = np.zeros((0, text["hidden_size"]), np.float32)
        """(F, H) of no visual tokens."""
        self._files = [seen, place / LANGUAGE]

    def digest(self) -> str:
        """ "sha256:..." of both graphs."""
        joined = b"".join(file.read_bytes() for file in self._files)
        return f"sha256:{hashlib.sha256(joined).hexdigest()}"

    def see(self, patches_P_C: Array, grid: tuple[int, int, int]) -> Array:
        """(F, H) visual tokens of an image's patches, whose grid is (1, rows, columns).

        patches_P_C: of all frames, or of one, which then stands for all.
        """
        inputs = {"pixels": patches_P_C, "kernel": self._kernels[patches_P_C.shape[1]], **self._placed(grid)}
        (found,) = self._vision(["features"], inputs)
        return found

    def _places(self, grid: tuple[int, int, int]) -> dict[str, Any]:
        """What the vision graph is told of where the patches of such a grid lie."""
        _, rows, columns = grid
        merge = self._merge
        cells = np.indices((rows, columns)).reshape(2, rows // merge, merge, columns // merge, merge)
        cells_2_P = cells.transpose(0, 1, 3, 2, 4).reshape(2, -1)
        angles_2_P_D = cells_2_P[..., None].astype(np.float32) * self._axial
        placed: dict[str, Any] = {**_turned(np.concatenate([*angles_2_P_D], axis=1))}
        return placed if self._window is None else placed | attending(cells_2_P // self._window)

    def read(
        self,
        ids_T: Ids,
        positions_3_T: Ids,
        mask_T_K: NDArray[np.bool_],
        past: Array,
        rows_R: Ids,
        places_F: Ids,
        features_F_H: Array,
    ) -> tuple[Array, Array]:
        """(R, V) log-probabilities of what follows the tokens at `rows`, and the keys and values of all K.

        ids_T, positions_3_T: the new tokens, after those of `past`, and their places on the three axes.
        mask_T_K: which tokens each new one sees.  places_F: which of the new ones are visual.
        """
        angles_3_T_D = positions_3_T[..., None].astype(np.float32) * self._rotary
        parts = np.split(angles_3_T_D, self._sections, axis=-1)
        angles_T_D = np.concatenate([part[i % 3] for i, part in enumerate(parts)], axis=-1)
        inputs = {"ids": ids_T, "mask": mask_T_K, "past": past, "rows": rows_R}
        inputs |= {"places": places_F, "features": features_F_H, **_turned(angles_T_D)}
        log_probs_R_V, present = self._language(["log_probs", "present"], inputs)
        return log_probs_R_V, present


def _kernels(given: Array | None, vision: Mapping[str, Any]) -> dict[int, Array]:
    """By the C values of a patch: the kernel (H, C) for all frames, and that for one which stands for all.

    Raises Unfit for what is none.
    """
    frames, channels = vision["temporal_patch_size"], vision.get("in_channels") or 3
    try:
        kernel_H_C_T_N = np.asarray(given).reshape(len(np.asarray(given)), channels, frames, -1)
    except (TypeError, ValueError) as error:
        raise UnsupportedModel("its vision tower takes no patches", where=KERNEL) from error
    both = (kernel.reshape(len(kernel), -1) for kernel in (kernel_H_C_T_N, kernel_H_C_T_N.sum(axis=2)))
    return {kernel.shape[1]: kernel for kernel in both}


def _frequencies(config: Mapping[str, Any], size: int) -> Array:
    """(size / 2,) angles a position, in float32 as the models compute them."""
    theta = np.float32(config["rope_parameters"]["rope_theta"])
    return (1 / theta ** (np.arange(0, size, 2, dtype=np.float32) / np.float32(size))).astype(np.float32)


def attending(tiles_2_P: Ids) -> dict[str, Any]:
    """Which patches see one another in a windowed block: those whose tile of the image is the same.

    whole (W, S): the patches of each tile of full size.
    edges (V, E): those of the smaller ones at the image's edges, several in a row where they fit, filled up
    with the first patch.  held (V, 1, E, E): who sees whom in a row.
    back (P,): where each patch is in both, one after the other.
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
    """The tiles in rows no longer than the largest: largest first, each where it fits first."""
    rows: list[list[Ids]] = []
    for tile in sorted(tiles, key=len, reverse=True):
        room = (row for row in rows if sum(map(len, row)) + len(tile) <= len(rows[0][0]))
        if (row := next(room, None)) is None:
            rows.append([tile])
        else:
            row.append(tile)
    return rows


def _turned(angles_T_D: Array) -> dict[str, Array]:
    return {"cos": np.cos(angles_T_D)[None], "sin": np.sin(angles_T_D)[None]}


def _weights(file: Path) -> dict[str, Array]:
    """All tensors of a safetensors file in float32; patches' kernels as matrices. Raises Unfit."""
    from safetensors import SafetensorError, deserialize

    try:
        held = deserialize(file.read_bytes())
        return {name: _in_float32(**tensor) for name, tensor in held}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise UnsupportedModel(f"its weights cannot be read ({error})", where=str(file)) from error


def _in_float32(data: bytes, dtype: str, shape: list[int]) -> Array:
    if dtype == "BF16":  # the upper half of a float32
        flat = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    else:
        flat = np.frombuffer(data, {"F16": np.float16, "F32": np.float32}[dtype]).astype(np.float32)
    return flat.reshape(shape if len(shape) <= 2 else (shape[0], -1))
