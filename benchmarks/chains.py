"""A chain of thought by slots against plain generation of as many tokens, at the model's own bounds."""

import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from benchmarks import samples
from benchmarks.plain import Plain
from benchmarks.timing import side_by_side, table
from realqa_cli import models
from realqa_cli.domain import prompts
from realqa_cli.errors import RealqaError
from realqa_cli.steps.score.score import Scorer

PLAIN = "`generate` of the same text"


def measure(rounds: int, photos: int) -> str:
    """The section as Markdown."""
    folder = models.path("realqa-tiny")
    bound = int(json.loads((folder / "realqa.json").read_text(encoding="utf-8"))["max_pixels"])
    plain = Plain(folder)
    with tempfile.TemporaryDirectory() as temporary:
        files = sorted(samples.large(Path(temporary) / "photos", photos).glob("*.jpg"))
        contestants: dict[str, Callable[[], object]] = {}
        length = 0
        for backend in ("hf", "onnx", "openvino"):
            try:
                scorer = Scorer(backend=backend, method="cot")
            except RealqaError as error:
                print(f"left out: {backend}: {error}")
                continue
            texts = [record["text"] for record in scorer.score(files)]
            length = max(len(ids) for ids in plain.tokenizer(texts, add_special_tokens=False)["input_ids"])
            contestants[f"slots, {backend}"] = partial(scorer.score, files)
        question = prompts.COT_REGULAR_QUESTION
        contestants = {
            PLAIN: lambda: plain.generate(files, max_pixels=bound, question=question, tokens=length),
            "the same, batches of 8": lambda: plain.generate(
                files, max_pixels=bound, question=question, tokens=length, batch=8
            ),
            **contestants,
        }
        timed = side_by_side(contestants, rounds, "chains of thought")
    rows = []
    for name in contestants:
        low, high = timed.spread(PLAIN, name)
        rows.append([name, f"{timed.ratio(PLAIN, name):.2f}", f"{low:.2f}–{high:.2f}"])
    intro = (
        f"{photos} photos, {length} tokens an answer; the slots also give the direct score and both exact"
        " distributions. Photos a second as multiples of the first row's:"
    )
    return f"{intro}\n\n" + table(["way", "median", "least and greatest"], rows)
