"""The models that the sorting probe can send text to: local ones, ones with code of their own, and served ones."""

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from realqa_cli import models
from realqa_cli.backends.base import Backend, LoadOptions, Prompt
from realqa_cli.backends.server.settings import ServerSettings
from realqa_cli.errors import ItemError, ModelError, one_line
from realqa_cli.inference.model_settings import ModelSettings

Outcomes = Callable[[Iterable[Prompt], int], Iterator[str | ItemError]]
"""From prompts and the largest number of new tokens to answers, or to errors of single prompts, in order."""


@dataclass(frozen=True)
class TextModel:
    """A loaded model.  name: as the user gave it.  closing: ends with its use."""

    name: str
    outcomes: Outcomes
    settings: Mapping[str, Any]
    environment: Mapping[str, Any]
    closing: AbstractContextManager[object]


def check_model(model: ModelSettings) -> None:
    """Raises ModelError for a local model that cannot run here, as far as its config.json states."""
    from realqa_cli.backends.hf.remote_code import way_out
    from realqa_cli.backends.hf.text import model_kind

    if model.model in models.NEEDS_SERVER and not model.trust_remote_code:
        steps = models.serving_steps(model.model, f"realqa sort-probe --model {model.model}")
        raise ModelError(models.NEEDS_SERVER[model.model], where=model.model, remedy=steps)
    config = _config_of(model)
    if not config or model_kind(config):
        return
    architecture = f"transformers has no architecture {config.get('model_type')!r}"
    if "AutoModel" not in config.get("auto_map", {}):
        what = f"{architecture}, and the model brings no code of its own"
        raise ModelError(what, where=model.model, remedy=way_out(model.model))
    if not model.trust_remote_code:
        remedy = f"add --trust-remote-code --revision COMMIT to run its own code, or {way_out(model.model)}"
        raise ModelError(architecture, where=model.model, remedy=remedy)


def _config_of(model: ModelSettings) -> Mapping[str, Any]:
    """The config.json of the model. Raises ModelError, for the paper's models with steps that get them."""
    try:
        return models.config_of(model.model, model.revision)
    except ModelError as error:
        if model.model not in models.SHORT_NAMES:
            raise
        steps = models.fetching_steps(model.model, "realqa sort-probe")
        raise ModelError(error.what, where=model.model, remedy=steps) from error


def open_local(model: ModelSettings) -> TextModel:
    """A model of a folder or of the hub, in this process. Raises ModelError or UsageError."""
    from realqa_cli.backends.hf.remote_code import RemoteCodeBackend
    from realqa_cli.backends.hf.text import TextBackend, model_kind

    model.check()
    check_model(model)
    gc.collect()  # the previous model is large, and reference cycles may still hold it
    source = model.find()
    loading = LoadOptions(
        device=model.device,
        dtype=model.dtype,
        quantize=model.quantize,
        trust_remote_code=model.trust_remote_code,
    )
    known = model_kind(models.config_of(str(source.base))) is not None
    backend = (TextBackend if known else RemoteCodeBackend).load(source, loading)
    environment = {**backend.environment(), "batch_size": model.batch_size}
    return TextModel(model.model, _in_batches(backend, model), backend.settings(), environment, nullcontext())


def open_served(name: str | None, server: ServerSettings) -> TextModel:
    """A model behind a server, by its name there, a short name, or none. Raises ModelError or UsageError."""
    from realqa_cli.backends.server.text import ServerTextBackend

    if name is not None:
        server = replace(server, model=_served_name(name, server))
    backend = ServerTextBackend.open(server)
    return TextModel(name or backend.client.model, backend.outcomes, backend.settings(), backend.environment(), backend)


def _served_name(name: str, server: ServerSettings) -> str:
    """The server's name for a model: the hub id of a short name, if the server has that and not the short name."""
    from realqa_cli.backends.server.client import ServerClient

    hub_id = models.SHORT_NAMES.get(name)
    if hub_id is None:
        return name
    with ServerClient(server) as client:
        return hub_id if hub_id in client.models and name not in client.models else name


def _in_batches(backend: Backend, model: ModelSettings) -> Outcomes:
    def outcomes(prompts: Iterable[Prompt], max_new_tokens: int) -> Iterator[str | ItemError]:
        stream = iter(prompts)
        while batch := list(islice(stream, model.batch_size)):
            try:
                yield from backend.generate(batch, max_new_tokens)
            except (RuntimeError, ValueError, MemoryError) as error:
                what, remedy = f"failed on a question ({one_line(error)})", "try a smaller --batch-size"
                raise ModelError(what, where=model.model, remedy=remedy) from error

    return outcomes
