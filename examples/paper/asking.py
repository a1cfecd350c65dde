"""Attributes by a trained model, with the questions of its training: one by one, level by level, or all at once.

`realqa self-label` asks for all at once. Tab. 2 compares granularities of training, and a model that has only
met questions about one attribute would be judged by a question that it has never met. A record has `image`
and `attributes`, as those of `self-label`.

    python examples/paper/asking.py labels.jsonl --model my-model --granularity levels > attributes.jsonl
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from realqa_cli.backends.base import Backend, Prompt
from realqa_cli.decoding.attribute_form import attributes_of
from realqa_cli.decoding.slots import FilledForm, fill_form
from realqa_cli.domain import prompts
from realqa_cli.domain.attributes import ATTRIBUTES, LEVELS
from realqa_cli.errors import ItemError
from realqa_cli.inference.inputs import open_items
from realqa_cli.inference.model_settings import ModelSettings
from realqa_cli.inference.pipeline import run_batches
from realqa_cli.io.sources import read_sources
from realqa_cli.media.video import VisualInput

Question = tuple[str, list["str | prompts.Slot"]]


def questions(granularity: str, order: prompts.Order) -> Iterator[Question]:
    """Each question with the form of its answer, free texts left out."""
    known = [key for key in prompts.SLOTS if not prompts.SLOTS[key].free]
    if granularity == "mix":
        yield prompts.MIX_QUESTION, prompts.regular_form(prompts.arrange(known, order))
    elif granularity == "levels":
        for level, members in LEVELS.items():
            keys = [key for key in known if prompts.SLOTS[key].attribute in members]
            yield prompts.level_question(level), prompts.regular_form(keys)
    else:
        for key in known:
            attribute = ATTRIBUTES[prompts.SLOTS[key].attribute.key]
            yield prompts.attribute_question(attribute), prompts.regular_form([key], numbered=False)


def ask_all(backend: Backend, images: Sequence[VisualInput], chosen: Sequence[Question]) -> list[dict[str, object]]:
    """The attributes of each image."""
    found: list[dict[str, object]] = [{} for _ in images]
    for question, form in chosen:
        answers: list[FilledForm] = fill_form(
            backend, [Prompt.about(image, question) for image in images], form, prompts.REGULAR_END
        )
        for record, answer in zip(found, answers, strict=True):
            record |= attributes_of(answer.slots)
    return found


def main() -> None:
    """Prints a record an image."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--granularity", choices=("attributes", "levels", "mix"), default="mix")
    parser.add_argument("--order", choices=("high-first", "low-first"), default="high-first")
    parser.add_argument("--batch-size", type=int, default=8)
    given = parser.parse_args()
    settings = ModelSettings(model=given.model, batch_size=given.batch_size)
    source = settings.find()
    bounds = source.config
    backend = settings.load(
        source,
        min_pixels=bounds.min_pixels if bounds else None,
        max_pixels=bounds.max_pixels if bounds else None,
    )
    chosen = list(questions(given.granularity, given.order))
    items = open_items(read_sources([str(given.labels)]))
    for photo, answer in run_batches(items, given.batch_size, lambda images: ask_all(backend, images, chosen)):
        if isinstance(answer, ItemError):
            sys.exit(str(answer))
        print(json.dumps({**photo.item.fields, "image": photo.item.name, "attributes": answer}))


if __name__ == "__main__":
    main()
