"""From trained weights to a model folder that transformers and `realqa` load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from initialise import image_processor_settings
from photos import MAX_PIXELS, MIN_PIXELS
from tokenizer import save_tokenizer

REALQA = {
    "format": 1,
    "objective": "ntp",
    "scale": [1.0, 5.0],
    "digits": 3,
    "min_pixels": MIN_PIXELS,
    "max_pixels": MAX_PIXELS,
    "base_model": None,
}


def export(model: Any, tokenizer: Any, folder: Path, photos: int) -> None:
    """Write the folder of a model that was trained on windows. photos: how many it was trained on."""
    settle(model, tokenizer, folder)
    trained_on = f"synthetic degradations of {photos} photographs; full-reference labels, no human ratings"
    write_settings(folder, {**REALQA, "trained_on": trained_on})


def settle(model: Any, tokenizer: Any, folder: Path) -> None:
    """Weights as float16, and the tokenizer; `model` stays as it was."""
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config.update(
        do_sample=False,
        max_new_tokens=64,
        bos_token_id=None,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
        pad_token_id=tokenizer.convert_tokens_to_ids("<|endoftext|>"),
    )
    full = {name: value.clone() for name, value in model.state_dict().items()}
    model.to(torch.float16).save_pretrained(folder)
    model.float().load_state_dict(full)
    save_tokenizer(folder)


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """`realqa.json` as `settings`, and the image processor's settings with its pixel bounds."""
    bounds = image_processor_settings(settings["min_pixels"], settings["max_pixels"])
    _write(folder / "preprocessor_config.json", bounds)
    _write(folder / "realqa.json", settings)
    for file in folder.iterdir():
        file.chmod(0o644)


def _write(path: Path, settings: dict[str, Any]) -> None:
    path.write_text(json.dumps(settings, indent=2) + "\n")
