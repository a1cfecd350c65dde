"""Text answers of models that come with their own code, such as InternVL2 and MiniCPM-V.

Such models share only a convention: a method `chat` that takes a tokenizer and a question, and no image. Their
code was written for one version of transformers and may fail in any way under another. Whatever it raises
becomes one `ModelError`, whose remedy is a server that can run the model.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch

from realqa_cli.backends.base import Backend, LoadOptions, Prompt
from realqa_cli.backends.hf.weights import device_named, quiet
from realqa_cli.errors import ModelError, RealqaError, one_line
from realqa_cli.io.manifest import folder_digest, versions
from realqa_cli.models import SHORT_NAMES, ModelSource


class RemoteCodeBackend(Backend):
    """Implements `Backend` for prompts without photos."""

    def __init__(self, model: Any, tokenizer: Any, source: ModelSource) -> None:
        self.model, self.tokenizer, self.source = model, tokenizer, source

    @classmethod
    def load(cls, source: ModelSource, options: LoadOptions) -> "RemoteCodeBackend":
        """Loads the model by its own code. Raises ModelError, also if remote code is not trusted."""
        from transformers import AutoModel, AutoTokenizer

        if not options.trust_remote_code or options.quantize or source.adapter is not None:
            raise ModelError(
                "the model comes with its own code, which runs only if you trust it",
                where=source.name,
                remedy="add --trust-remote-code --revision COMMIT, without --quantize and --adapter",
            )
        quiet()
        device = device_named(options.device)
        dtype = options.dtype if options.dtype != "auto" else "bfloat16" if device.type == "cuda" else "float32"
        with _model_code_errors(source.name):
            tokenizer: Any = AutoTokenizer.from_pretrained(source.base, trust_remote_code=True)
            model: Any = AutoModel.from_pretrained(
                source.base, trust_remote_code=True, use_safetensors=True, dtype=dtype
            )
            chat = getattr(model, "chat", None)
            if not callable(chat):
                raise TypeError("its class does not have a method `chat`")
            return cls(model.eval().to(device), tokenizer, source)

    def generate(self, batch: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each prompt, one by one; `stop` is ignored. Raises ModelError for photos."""
        if any(prompt.images or prompt.prefix for prompt in batch):
            raise ModelError("supports neither photos nor answer prefixes", where=self.source.name)
        return [self._one(prompt.question, max_new_tokens) for prompt in batch]

    def settings(self) -> Mapping[str, Any]:
        """Digest of the folder including its code, revision and dtype."""
        return {
            "backend": "remote-code",
            "model": folder_digest(self.source.base),
            "revision": self.source.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    def environment(self) -> Mapping[str, Any]:
        """Device and versions of the libraries used."""
        return {"device": str(self.model.device), "versions": versions("torch", "transformers")}

    def _one(self, question: str, max_new_tokens: int) -> str:
        """The answer of `chat`, called with the usual arguments that its signature has."""
        generation = {"max_new_tokens": max_new_tokens, "do_sample": False}
        usual: dict[str, Any] = {
            "tokenizer": self.tokenizer,
            "image": None,
            "pixel_values": None,
            "question": question,
            "query": question,
            "msgs": [{"role": "user", "content": question}],
            "generation_config": generation,
            "sampling": False,
            "max_new_tokens": max_new_tokens,
            "do_sample": False,
        }
        with _model_code_errors(self.source.name), torch.inference_mode():
            accepted = inspect.signature(self.model.chat).parameters
            result = self.model.chat(**{name: value for name, value in usual.items() if name in accepted})
            answer = result[0] if isinstance(result, tuple) else result  # some also return the history
            if not isinstance(answer, str):
                raise TypeError(f"its `chat` returns a {type(answer).__name__}, not text")
            return answer.strip()


def way_out(name: str) -> str:
    """The remedy for a model that cannot run in this process."""
    model = SHORT_NAMES.get(name, name)
    return f"serve {model} with a server that can run it, such as vLLM, and give --server http://HOST:PORT/v1"


@contextmanager
def _model_code_errors(name: str) -> Iterator[None]:
    """Turns whatever the code of the model raises into a ModelError with a remedy."""
    try:
        yield
    except (RealqaError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error, 200)}"
        what = f"its own code does not run with transformers {version('transformers')} ({reason})"
        raise ModelError(what, where=name, remedy=way_out(name)) from error
