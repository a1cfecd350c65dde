"""Finds a model: the bundled one, a folder, a short name of the paper's models, or a hub id.

The result is folders on disk with safetensors; this module loads no weights.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from realqa_cli.errors import ModelError, one_line

if TYPE_CHECKING:
    from realqa_cli.models.realqa_json import ScorerConfig

BUNDLED = ("realqa-tiny",)
"""Models in the package."""

SHORT_NAMES = {
    "qwen2-vl-2b": "Qwen/Qwen2-VL-2B-Instruct",
    "qwen2-vl-7b": "Qwen/Qwen2-VL-7B-Instruct",
    "internvl2": "OpenGVLab/InternVL2-8B",
    "minicpm-v2.5": "openbmb/MiniCPM-Llama3-V-2_5",
    "llava-1.5": "llava-hf/llava-1.5-7b-hf",
    "mplug-owl2": "MAGAer13/mplug-owl2-llama2-7b",
}
"""The paper's models (Tab. 3) by short name, with their hub ids."""

NEEDS_SERVER = {
    "internvl2": "its code on the hub is for transformers 4.37; no revision of it is known to run under version 5",
    "minicpm-v2.5": "its code on the hub is for transformers 4.40; no revision of it is known to run under version 5",
    "mplug-owl2": "its architecture is in no release of transformers, and its hub repository brings no code",
}
"""The paper's models that do not run in this process, and why. The others (Qwen2-VL, LLaVA) run as they are, at any
revision, since transformers has their architectures."""

_NOT_IN_VLLM = ("mplug-owl2",)


def serving_steps(name: str, command: str) -> str:
    """What to do, step by step, to use one of the paper's models behind a server; `command` then uses it."""
    hub_id, use = SHORT_NAMES[name], f"{command} --server http://localhost:8000/v1"
    if name in _NOT_IN_VLLM:
        serve = "serve it by its authors' code (github.com/X-PLUG/mPLUG-Owl) behind an OpenAI-compatible endpoint"
        return f"1) {serve}; 2) {use}"
    code = " --trust-remote-code" if name in NEEDS_SERVER else ""
    steps = f"1) pip install vllm, on a machine with a GPU; 2) vllm serve {hub_id}{code}; 3) {use}"
    return f"{steps}. Or try its code here by --trust-remote-code --revision COMMIT" if code else steps


def fetching_steps(name: str, command: str) -> str:
    """What to do, step by step, to use one of the paper's models whose files this machine cannot download."""
    hub_id = SHORT_NAMES[name]
    folder = hub_id.rpartition("/")[2]
    fetch = f"1) hf download {hub_id} --local-dir {folder}, where there is a connection; 2) {command} --model {folder}"
    return f"{fetch}. Or by a server: {serving_steps(name, f'{command} --model {name}')}"


_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_HUB_FILES = ["*.json", "*.jinja", "*.safetensors", "*.txt", "*.model", "*.tiktoken"]


@dataclass(frozen=True)
class ModelSource:
    """The folders of a model.

    name: as the user gave it.  base: folder of full weights.  adapter: folder of a PEFT adapter.
    revision: the requested hub revision.  config: the content of `realqa.json`, if there is one.
    """

    name: str
    base: Path
    adapter: Path | None = None
    revision: str | None = None
    config: "ScorerConfig | None" = None


def path(name: str) -> Path:
    """The folder of a bundled model. Raises ModelError for a name that is not bundled."""
    if name not in BUNDLED:
        raise ModelError(f"{name!r} is not a bundled model", remedy=f"use one of: {', '.join(BUNDLED)}")
    return Path(__file__).parent / name


def find(
    name: str, *, adapter: str | None = None, revision: str | None = None, trust_remote_code: bool = False
) -> ModelSource:
    """Finds the folders of the model `name`, with the given adapter or the one in its folder.

    adapter: a folder or a hub id, either with `:subfolder`. Raises ModelError with a remedy if a part is
    missing.
    """
    from realqa_cli.models import realqa_json

    if trust_remote_code and revision is None:
        raise ModelError(
            "remote code needs a pinned revision", where="--trust-remote-code", remedy="add --revision COMMIT"
        )
    folder = _folder(name, revision, remote_code=trust_remote_code)
    own = realqa_json.read_config(folder)
    if adapter is not None:
        _require_weights(folder, "config.json", "model*.safetensors")
        place = _adapter_folder(adapter)
        _require_weights(place, "adapter_config.json", "adapter_model.safetensors")
        return ModelSource(name, folder, place, revision, realqa_json.read_config(place) or own)
    if (folder / "adapter_config.json").is_file():
        _require_weights(folder, "adapter_config.json", "adapter_model.safetensors")
        base = find(_base_of(folder, own), revision=revision, trust_remote_code=trust_remote_code)
        if base.adapter is not None:
            raise ModelError("its base model is an adapter itself", where=str(folder), remedy="merge the base first")
        return ModelSource(name, base.base, folder, revision, own or base.config)
    _require_weights(folder, "config.json", "*.safetensors")
    return ModelSource(name, folder, None, revision, own)


def config_of(name: str, revision: str | None = None) -> dict[str, Any]:
    """The config.json of the model `name`, without downloading weights; {} for an adapter.

    Raises ModelError.
    """
    folder = _place(name)
    file = folder / "config.json" if folder else _hub_file(hub_id_of(name), "config.json", revision)
    if file is None or not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ModelError(f"cannot be read: {one_line(error)}", where=str(file), remedy="copy it again") from error


def scorer_config_of(name: str, revision: str | None = None) -> "ScorerConfig | None":
    """The `realqa.json` of the model `name`, before its weights are fetched; None where it has none.

    Raises ModelError.
    """
    from realqa_cli.models import realqa_json

    folder = _place(name)
    if folder is None:
        file = _hub_file(hub_id_of(name), realqa_json.CONFIG_FILE, revision)
        folder = file.parent if file else None
    return realqa_json.read_config(folder) if folder else None


def _folder(name: str, revision: str | None, *, remote_code: bool = False) -> Path:
    return _place(name) or _download(hub_id_of(name), revision, remote_code=remote_code)


def _place(name: str) -> Path | None:
    """The folder of a bundled model or of one on disk; None for a model on the hub."""
    if name in BUNDLED:
        return path(name)
    place = Path(name).expanduser()
    if place.is_dir():
        return place
    if place.exists():
        raise ModelError("is a file, not a model folder", where=name, remedy="give the folder that contains it")
    return None


def hub_id_of(name: str) -> str:
    """The hub id of a short name, or the hub id itself. Raises ModelError for another text."""
    hub_id = SHORT_NAMES.get(name, name)
    if not _HUB_ID.fullmatch(hub_id):
        known = ", ".join((*BUNDLED, *SHORT_NAMES))
        raise ModelError(
            f"unknown model {name!r}",
            where="--model",
            remedy=f"give a model folder, a hub id (owner/name), or one of: {known}",
        )
    return hub_id


def _hub_file(hub_id: str, name: str, revision: str | None) -> Path | None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()  # its retries would be logged; the final error is raised below
    try:
        return Path(hf_hub_download(hub_id, name, revision=revision))
    except LocalEntryNotFoundError as error:  # there was no connection
        raise _download_error(hub_id, error) from error
    except EntryNotFoundError:
        return None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise _download_error(hub_id, error) from error


def _download(hub_id: str, revision: str | None, *, remote_code: bool = False) -> Path:
    """Downloads to the local cache: weights as safetensors, and code only if `remote_code`."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import logging

    logging.set_verbosity_error()
    patterns = [*_HUB_FILES, "*.py"] if remote_code else _HUB_FILES
    try:
        return Path(snapshot_download(hub_id, revision=revision, allow_patterns=patterns))
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise _download_error(hub_id, error) from error


def _download_error(hub_id: str, error: Exception) -> ModelError:
    reason = str(error).strip().split("\n")[0]
    return ModelError(
        f"cannot be downloaded from the hub ({reason[:200]})",
        where=hub_id,
        remedy="check the name and the connection, or give the folder of a downloaded copy",
    )


def _adapter_folder(adapter: str) -> Path:
    """`folder`, `folder:subfolder`, `owner/name` or `owner/name:subfolder`."""
    if Path(adapter).expanduser().is_dir():
        return Path(adapter).expanduser()
    name, _, subfolder = adapter.partition(":")
    place = Path(name).expanduser()
    if not place.is_dir():
        if not _HUB_ID.fullmatch(name):
            raise ModelError(
                "unknown adapter",
                where=adapter,
                remedy="give a folder or a hub id, with :subfolder if it is in a subfolder",
            )
        place = _download(name, None)
    if not (place / subfolder).is_dir():
        raise ModelError(f"has no subfolder {subfolder!r}", where=str(place), remedy="check the part after the colon")
    return place / subfolder


def _base_of(folder: Path, own: "ScorerConfig | None") -> str:
    if own is not None and own.base_model:
        name = own.base_model
    else:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        name = config.get("base_model_name_or_path")
    if not name:
        raise ModelError(
            "the adapter does not say its base model",
            where=str(folder),
            remedy="give the base by --model and this folder by --adapter",
        )
    relative = folder / str(name)
    return str(relative) if not Path(str(name)).is_absolute() and relative.is_dir() else str(name)


def _require_weights(folder: Path, config: str, weights: str) -> None:
    if not (folder / config).is_file():
        raise ModelError(f"has no {config}", where=str(folder), remedy="give a model folder in the Hugging Face layout")
    if not any(folder.glob(weights)):
        pickled = next((f.name for f in sorted(folder.iterdir()) if f.suffix in {".bin", ".pt", ".pth"}), None)
        remedy = (
            f"{pickled} is a pickle, which realqa does not load: convert it to safetensors"
            if pickled
            else "copy or train the weights into it"
        )
        raise ModelError(f"has no weights ({weights})", where=str(folder), remedy=remedy)
