"""The `onnx` and `openvino` backends: small models on a CPU, without torch and transformers.

A process that scores one photo is done before those would be imported. Photos and rows of a batch are run one
after the other: two cores have enough to do with one, nothing is padded, and an answer does not depend on
the batch. Which models it takes is said in onnx_graphs.py and `OnnxBackend.load`.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from realqa_cli.backends.base import Backend, LoadOptions, PhotoTransform, Prompt, UnsupportedModel
from realqa_cli.backends.onnx.graphs import Graphs
from realqa_cli.backends.onnx.inputs import OnnxProcessor
from realqa_cli.backends.onnx.prefix_cache import OnnxPrefixCache
from realqa_cli.backends.onnx.runtimes import OnnxRuntime, OpenVino, Runtime, threads
from realqa_cli.decoding.trie_cache import TrieCache
from realqa_cli.domain.numerals import Floats
from realqa_cli.errors import ModelError
from realqa_cli.io.manifest import folder_digest, versions
from realqa_cli.media.video import FrameTransform
from realqa_cli.models import ModelSource


class OnnxBackend(Backend):
    """Implements `Backend` with one loaded model that has no regression head."""

    name = "onnx"
    dtypes: tuple[str, ...] = ("auto", "float32")
    libraries: tuple[str, ...] = ("onnxruntime",)

    def __init__(
        self, graphs: Graphs, prompts: OnnxProcessor, source: ModelSource, ends: frozenset[int], dtype: str
    ) -> None:
        """`ends`: the tokens with which an answer ends.  dtype: in what the graphs are computed."""
        self.graphs, self.prompts, self.source, self.ends = graphs, prompts, source, ends
        self.dtype = dtype
        self.trie = TrieCache(prompts.encode)

    @staticmethod
    def runtime(dtype: str) -> Runtime:
        """What computes the graphs. Raises Unfit."""
        return OnnxRuntime()

    @classmethod
    def load(cls, source: ModelSource, loading: LoadOptions) -> "OnnxBackend":
        """Loads graphs, weights and tokenizer. Raises Unfit for all that only `hf` can do, or ModelError."""
        cls._check(source, loading)
        try:
            config = json.loads((source.base / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UnsupportedModel(f"cannot be read: {error}", where=str(source.base / "config.json")) from error
        runtime = cls.runtime(loading.dtype)
        graphs = Graphs(source.base, config, runtime)
        return cls(graphs, OnnxProcessor(source, loading, config), source, _ends(source, config), runtime.dtype)

    def log_probs(self, asks: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) exact log-probabilities; see `Backend`."""
        return self.prefix_cache().log_probs(asks, continuations, end)

    def generate(self, asks: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each ask; see `Backend`."""
        return self.prefix_cache().generate(asks, max_new_tokens, stop)

    def prefix_cache(self) -> Backend:
        """See `Backend`."""
        return OnnxPrefixCache(self.graphs, self.prompts, self.trie, self.ends)

    def regression_values(self, asks: Sequence[Prompt]) -> Floats:
        """Raises ModelError: there is no regression head."""
        raise ModelError("has no regression head", where=self.source.name)

    def settings(self) -> Mapping[str, Any]:
        """Digests of weights and graphs, dtype, pixel bounds."""
        found = {
            "backend": self.name,
            "model": folder_digest(self.source.base),
            "graphs": self.graphs.digest(),
            "adapter": None,
            "dtype": self.dtype,
        }
        return found | dict(self.prompts.settings())

    def environment(self) -> Mapping[str, Any]:
        """Device, threads and the versions of the libraries that compute."""
        names = (*self.libraries, "tokenizers", "jinja2", "numpy", "pillow", "av")
        return {"device": "cpu", "threads": threads(), "versions": versions(*names)}

    def frame_transform(self) -> FrameTransform | None:
        """See `Backend`."""
        return self.prompts.frame_transform()

    def photo_transform(self) -> PhotoTransform | None:
        """See `Backend`."""
        return self.prompts.fit

    @classmethod
    def _check(cls, source: ModelSource, loading: LoadOptions) -> None:
        """Raises Unfit for what this backend leaves to `hf`."""
        objective = source.config.objective if source.config else "ntp"
        unfit = {
            "--adapter": source.adapter is not None,
            "--device": loading.device not in ("auto", "cpu"),
            "--dtype": loading.dtype not in cls.dtypes,
            "--quantize": loading.quantize is not None,
            "--trust-remote-code": loading.trust_remote_code,
            "attention": loading.attention != "auto",
            "objective": objective == "regression",
        }
        for where, found in unfit.items():
            if found:
                raise UnsupportedModel(f"is not for the backend {cls.name}", where=where, remedy="use --backend hf")


class OpenVinoBackend(OnnxBackend):
    """The same by OpenVINO, for many photos: bfloat16 where the processor multiplies it."""

    name = "openvino"
    dtypes = ("auto", "float32", "bfloat16")
    libraries = ("openvino", "onnx")

    @staticmethod
    def runtime(dtype: str) -> Runtime:
        """See `OnnxBackend`."""
        return OpenVino(dtype)


def _ends(source: ModelSource, config: Mapping[str, Any]) -> frozenset[int]:
    """The tokens that end an answer, from where generation takes them."""
    try:
        told = json.loads((source.base / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        told = config["text_config"]
    found = told.get("eos_token_id")
    return frozenset(found if isinstance(found, list) else [found])
