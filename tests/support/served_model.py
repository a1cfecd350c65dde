"""A small LLaVA that was overfitted to two answers, and `transformers serve` in front of it."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import torch
from process import environment
from small_models import write
from transformers import AutoModelForImageTextToText, AutoTokenizer

from realqa_cli.domain import prompts

SCORE = prompts.direct_answer("3.42")
FORM = prompts.fill(
    prompts.regular_form(["level_shot", "image_clarity"]),
    {"level_shot": "yes", "image_clarity": "very clear"},
)


def teach(folder: Path) -> Path:
    """Writes the model; whatever the photo, it answers the direct and the mixed question."""
    write(folder, "llava", gain=1.0)
    model = AutoModelForImageTextToText.from_pretrained(folder)
    words = AutoTokenizer.from_pretrained(folder)
    examples = [
        _lesson(words, prompts.DIRECT_QUESTION, SCORE),
        _lesson(words, prompts.MIX_QUESTION, FORM + prompts.REGULAR_END),
    ]
    optimiser = torch.optim.Adam(model.parameters(), lr=4e-3)
    for step in range(600):
        pixels = torch.randn(1, 3, 1, 1) + torch.randn(1, 3, 56, 56)  # any photo will do
        losses = [model(input_ids=ids, pixel_values=pixels, labels=labels).loss for ids, labels in examples]
        loss = torch.stack(losses).sum()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if float(loss.detach()) < 0.02 and step > 150:
            break
    model.save_pretrained(folder)
    return folder


def _lesson(words: Any, question: str, answer: str) -> tuple[torch.Tensor, torch.Tensor]:
    text = f"<|im_start|>user\n<|vision_start|>{'<|image_pad|>' * 16}<|vision_end|>{question}<|im_end|>\n"
    prompt = words.encode(text + "<|im_start|>assistant\n")
    reported = words.encode(answer + "<|im_end|>")
    ids = torch.tensor([prompt + reported])
    labels = ids.clone()
    labels[0, : len(prompt)] = -100
    return ids, labels


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """The address of `transformers serve` with the model, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = "from transformers.cli.transformers import main; main()"
    arguments = ["serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdout=log,
            stderr=log,
            env=environment(OMP_NUM_THREADS="1"),
        )
        try:
            yield _awaited(f"http://127.0.0.1:{port}", process, folder)
        finally:
            process.terminate()
            process.wait(20)


def _awaited(address: str, process: subprocess.Popen[bytes], folder: Path) -> str:
    for _ in range(600):
        if process.poll() is not None:
            raise RuntimeError((folder / "serve.log").read_text()[-2000:])
        try:
            if httpx2.get(f"{address}/health", timeout=2).is_success:
                return f"{address}/v1"
        except httpx2.TransportError:
            time.sleep(0.1)
    raise RuntimeError("transformers serve does not answer")
