"""The `onnx` and `openvino` backends: small models on a CPU, without torch and transformers.

A process that scores one photo ends before torch would be imported. The prompts of a batch run one after the
other: one prompt keeps the cores busy, nothing is padded, and answers do not depend on the batch. graphs.py
and `OnnxBackend.load` define the supported models.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from realqa_cli.backends.base import Backend, LoadOptions, PhotoTransform, Prompt, UnsupportedModel
from realqa_cli.backends.onnx.graphs import Graphs
from realqa_cli.backends.onnx.inputs import OnnxProcessor
from realqa_cli.backends.onnx.prefix_cache import OnnxPrefixCache
from realqa_cli.backends.onnx.preload import preloaded
from realqa_cli.backends.onnx.runtimes import OnnxRuntime, OpenVino, Runtime, threads
from realqa_cli.decoding.trie_cache import TrieCache
from realqa_cli.domain.numerals import Floats
from realqa_cli.errors import ModelError, one_line
from realqa_cli.io.manifest import folder_digest, versions
from realqa_cli.media.video import FrameTransform
from realqa_cli.models import ModelSource


class OnnxBackend(Backend):
    """Implements `Backend` for models without a regression head."""

    name = "onnx"
    dtypes: tuple[str, ...] = ("auto", "float32")
    libraries: tuple[str, ...] = ("onnxruntime",)

    def __init__(
        self, graphs: Graphs, processor: OnnxProcessor, source: ModelSource, ends: frozenset[int], dtype: str
    ) -> None:
        """ends: the ids of the tokens that end an answer.  dtype: the precision of the graphs."""
        self.graphs, self.processor, self.source, self.ends = graphs, processor, source, ends
        self.dtype = dtype
        self.trie = TrieCache(processor.encode)

    @staticmethod
    def runtime(dtype: str) -> Runtime:
        """The runtime of the graphs. Raises UnsupportedModel."""
        return OnnxRuntime()

    @classmethod
    def load(cls, source: ModelSource, options: LoadOptions) -> "OnnxBackend":
        """Loads graphs, weights and tokenizer. Raises UnsupportedModel for what only `hf` supports, or ModelError."""
        cls._check(source, options)
        try:
            config = json.loads((source.base / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise UnsupportedModel(
                f"cannot be read: {one_line(error)}", where=str(source.base / "config.json")
            ) from error
        runtime = cls.runtime(options.dtype)
        graphs = (preloaded(source.base) if cls is OnnxBackend else None) or Graphs(source.base, config, runtime)
        return cls(graphs, OnnxProcessor(source, options, config), source, _ends(source, config), runtime.dtype)

    def log_probs(self, batch: Sequence[Prompt], continuations: Sequence[str], end: str) -> Floats:
        """(B, V) exact log-probabilities; see `Backend`."""
        return self.prefix_cache().log_probs(batch, continuations, end)

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each prompt; see `Backend`."""
        return self.prefix_cache().generate(batch, max_new_tokens, stop)

    def prefix_cache(self) -> Backend:
        """See `Backend`."""
        return OnnxPrefixCache(self.graphs, self.processor, self.trie, self.ends)

    def regression_values(self, batch: Sequence[Prompt]) -> Floats:
        """Raises ModelError: the graphs have no regression head."""
        raise ModelError("has no regression head", where=self.source.name)

    def settings(self) -> Mapping[str, Any]:
        """Digests of weights and graphs, dtype, pixel bounds."""
        settings = {
            "backend": self.name,
            "model": folder_digest(self.source.base),
            "graphs": self.graphs.digest(),
            "adapter": None,
            "dtype": self.dtype,
        }
        return settings | dict(self.processor.settings())

    def environment(self) -> Mapping[str, Any]:
        """Device, number of threads and versions of the libraries used."""
        names = (*self.libraries, "tokenizers", "jinja2", "numpy", "pillow", "av")
        return {"device": "cpu", "threads": threads(), "versions": versions(*names)}

    def takes_photo_pairs(self) -> bool:
        """See `Backend`."""
        return True

    def frame_transform(self) -> FrameTransform | None:
        """See `Backend`."""
        return self.processor.frame_transform()

    def photo_transform(self) -> PhotoTransform | None:
        """See `Backend`."""
        return self.processor.fit

    @classmethod
    def _check(cls, source: ModelSource, options: LoadOptions) -> None:
        """Raises UnsupportedModel for what only `hf` supports."""
        objective = source.config.objective if source.config else "ntp"
        unsupported = {
            "--adapter": source.adapter is not None,
            "--device": options.device not in ("auto", "cpu"),
            "--dtype": options.dtype not in cls.dtypes,
            "--quantize": options.quantize is not None,
            "--trust-remote-code": options.trust_remote_code,
            "attention": options.attention != "auto",
            "objective": objective == "regression",
        }
        for where, given in unsupported.items():
            if given:
                raise UnsupportedModel(
                    f"not supported by the backend {cls.name}", where=where, remedy="use --backend hf"
                )


class OpenVinoBackend(OnnxBackend):
    """The same graphs with OpenVINO, for many photos; in bfloat16 if the processor supports it."""

    name = "openvino"
    dtypes = ("auto", "float32", "bfloat16")
    libraries = ("openvino", "onnx")

    @staticmethod
    def runtime(dtype: str) -> Runtime:
        """See `OnnxBackend`."""
        return OpenVino(dtype)


def _ends(source: ModelSource, config: Mapping[str, Any]) -> frozenset[int]:
    """The ids of the tokens that end an answer, by generation_config.json or config.json."""
    try:
        settings = json.loads((source.base / "generation_config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = config["text_config"]
    ids = settings.get("eos_token_id")
    return frozenset(ids if isinstance(ids, list) else [ids])
