"""An independent reference: probabilities of whole texts by plain forward passes over each of them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from realqa_cli import models
from realqa_cli.backends import base as backends
from realqa_cli.backends.base import LoadOptions, Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.domain.prompts import DIRECT_PREFIX, DIRECT_QUESTION


def load(folder: Path, **loading: Any) -> HFBackend:
    found = backends.load("hf", models.find(str(folder)), LoadOptions(**loading))
    assert isinstance(found, HFBackend)
    return found


def photos() -> list[Image.Image]:
    """Eight photos of noise in mixed sizes and shapes."""
    rng = np.random.default_rng(7)
    sizes = [(60, 90), (120, 70), (200, 100), (64, 64), (90, 200), (140, 140), (75, 61), (56, 112)]
    return [Image.fromarray(rng.integers(0, 256, (h, w, 3), dtype=np.uint8)) for h, w in sizes]


def direct_prompts(images: list[Image.Image]) -> list[Prompt]:
    return [Prompt(DIRECT_QUESTION, (image,), DIRECT_PREFIX) for image in images]


def brute_force(backend: HFBackend, prompt: Prompt, texts: list[str]) -> np.ndarray:
    """Each continuation's log-probability from one plain forward pass over the whole text."""
    rendered = backend.processor.render(prompt.question, 1) + prompt.prefix
    (bare,) = backend.processor.encode([rendered])
    found = []
    for text in texts:
        batch = backend.processor.batch([rendered + text], [prompt.images])
        inputs = dict(batch.inputs)
        if batch.token_types_B_T is not None:
            inputs["mm_token_type_ids"] = batch.token_types_B_T
        with torch.inference_mode():
            logits = backend.model(input_ids=batch.ids_B_T, attention_mask=batch.mask_B_T.long(), **inputs).logits
        log_probs = torch.log_softmax(logits[0, :-1].double(), dim=-1)
        each = log_probs.gather(1, batch.ids_B_T[0, 1:, None])[:, 0]
        (whole,) = backend.processor.encode([rendered + text])
        own = len(whole) - len(os.path.commonprefix([bare, whole]))
        found.append(float(each[-own:].sum()))
    return np.array(found)
