"""Backend by models that come with code of their own, such as InternVL2 and MiniCPM-V: through its `chat`.

There is no standard for such code but habit: a method `chat` that takes a tokenizer and a question, with no
image. It was written for one version of transformers and may fail under another in any way; whatever it
raises is therefore one `ModelError`, which names the way out: a server that can run the model.
"""

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch

from realqa_cli.backends.base import Backend, LoadOptions, Prompt
from realqa_cli.backends.hf.weights import device_named, quiet
from realqa_cli.errors import ModelError, RealqaError
from realqa_cli.io.manifest import folder_digest, versions
from realqa_cli.models import SHORT_NAMES, ModelSource


class RemoteCodeBackend(Backend):
    """Implements `Backend` for asks without photos."""

    def __init__(self, model: Any, tokenizer: Any, source: ModelSource) -> None:
        self.model, self.tokenizer, self.source = model, tokenizer, source

    @classmethod
    def load(cls, source: ModelSource, loading: LoadOptions) -> "RemoteCodeBackend":
        """Runs the model's code to load it. Raises ModelError, also where that was not allowed."""
        from transformers import AutoModel, AutoTokenizer

        if not loading.trust_remote_code or loading.quantize or source.adapter is not None:
            raise ModelError(
                "brings its own code, which is run as it is and only if trusted",
                where=source.name,
                remedy="add --trust-remote-code --revision COMMIT, and leave --quantize and adapters out",
            )
        quiet()
        device = device_named(loading.device)
        dtype = loading.dtype if loading.dtype != "auto" else "bfloat16" if device.type == "cuda" else "float32"
        with _its_code(source.name):
            tokenizer: Any = AutoTokenizer.from_pretrained(source.base, trust_remote_code=True)
            model: Any = AutoModel.from_pretrained(
                source.base, trust_remote_code=True, use_safetensors=True, dtype=dtype
            )
            chat = getattr(model, "chat", None)
            if not callable(chat):
                raise TypeError("its class has no method `chat`")
            return cls(model.eval().to(device), tokenizer, source)

    def generate(self, asks: Sequence[Prompt], max_new_tokens: int, stop: str | None = None) -> list[str]:
        """The greedy answer to each ask, one by one; `stop` is not obeyed. Raises ModelError for photos."""
        if any(ask.images or ask.prefix for ask in asks):
            raise ModelError("can be asked neither about photos nor with a prefix", where=self.source.name)
        return [self._one(ask.question, max_new_tokens) for ask in asks]

    def settings(self) -> Mapping[str, Any]:
        """Digest of the folder with its code, the revision, and the dtype."""
        return {
            "backend": "remote-code",
            "model": folder_digest(self.source.base),
            "revision": self.source.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
        }

    def environment(self) -> Mapping[str, Any]:
        """Device and the versions of the libraries that compute."""
        return {"device": str(self.model.device), "versions": versions("torch", "transformers")}

    def _one(self, question: str, max_new_tokens: int) -> str:
        """What `chat` answers, called with those of its habitual arguments that it has."""
        generation = {"max_new_tokens": max_new_tokens, "do_sample": False}
        habitual: dict[str, Any] = {
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
        with _its_code(self.source.name), torch.inference_mode():
            takes = inspect.signature(self.model.chat).parameters
            told = self.model.chat(**{name: value for name, value in habitual.items() if name in takes})
            answer = told[0] if isinstance(told, tuple) else told  # some return the history beside it
            if not isinstance(answer, str):
                raise TypeError(f"its `chat` returns a {type(answer).__name__}, not a text")
            return answer.strip()


def way_out(name: str) -> str:
    """What helps where a model cannot run in this process."""
    model = SHORT_NAMES.get(name, name)
    return f"serve {model} with a server that can run it, such as vLLM, and give --server http://HOST:PORT/v1"


@contextmanager
def _its_code(name: str) -> Iterator[None]:
    """Whatever the model's own code raises becomes one line with the way out."""
    try:
        yield
    except (RealqaError, torch.OutOfMemoryError, MemoryError):
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        what = f"its own code does not run under transformers {version('transformers')} ({reason})"
        raise ModelError(what, where=name, remedy=way_out(name)) from error
