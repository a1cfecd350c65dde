"""An independent reference: a model asked by plain transformers, in a loop, as the authors' scripts do it."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer


class PlainModel:
    """A Qwen-VL folder, with the two parts of its processor that need no torchvision."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        self.images: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
        self.model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    def inputs(
        self, messages: list[dict[str, Any]], image: Image.Image, answer: str, **template: Any
    ) -> dict[str, Any]:
        """The inputs of one photo: chat template, start of the answer, and the placeholder repeated."""
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **template)
        made = dict(self.images(images=[image], return_tensors="pt"))
        count = int(made["image_grid_thw"][0].prod()) // self.images.merge_size**2
        text = text.replace("<|image_pad|>", "<|image_pad|>" * count) + answer
        ids = self.tokenizer(text, add_special_tokens=False, return_tensors="pt")["input_ids"]
        types = (ids == self.model.config.image_token_id).int()
        return {**made, "input_ids": ids, "attention_mask": torch.ones_like(ids), "mm_token_type_ids": types}

    @torch.no_grad()
    def choice(
        self, images: Sequence[Image.Image], question: str, answer: str, words: list[str], end: str
    ) -> list[float]:
        """The log-probability of each whole word after the start of the answer to a question about several photos."""
        messages = [
            {"role": "user", "content": [*({"type": "image"} for _ in images), {"type": "text", "text": question}]}
        ]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        made = dict(self.images(images=images, return_tensors="pt"))
        parts = text.split("<|image_pad|>")
        counts = [int(grid.prod()) // self.images.merge_size**2 for grid in made["image_grid_thw"]]
        shown = "".join(part + "<|image_pad|>" * count for part, count in zip(parts, [*counts, 0], strict=True))
        found = []
        for word in words:
            whole, with_end = (
                self.tokenizer(shown + answer + word + rest, add_special_tokens=False, return_tensors="pt")["input_ids"]
                for rest in ("", end)
            )
            assert with_end[0, : whole.shape[1]].tolist() == whole[0].tolist(), "the reference needs a clear end"
            start = len(self.tokenizer(shown + answer.rstrip(), add_special_tokens=False)["input_ids"])
            types = (whole == self.model.config.image_token_id).int()
            inputs = {**made, "input_ids": whole, "attention_mask": torch.ones_like(whole), "mm_token_type_ids": types}
            logits = self.model(**inputs).logits[0, :-1].double().log_softmax(-1)
            found.append(float(logits.gather(1, whole[0, 1:, None])[start - 1 :, 0].sum()))
        return found

    @torch.no_grad()
    def weighted(
        self,
        messages: list[dict[str, Any]],
        image: Image.Image,
        answer: str,
        words: Mapping[str, float],
        lead: str = "",
    ) -> float:
        """The authors' score: softmax over the first tokens of the words, times their values."""
        ids = [self.tokenizer(lead + word, add_special_tokens=False)["input_ids"] for word in words]
        assert all(len(each) == 1 for each in ids), "the reference needs words of one token"
        logits = self.model(**self.inputs(messages, image, answer)).logits[0, -1, [each[0] for each in ids]]
        return float(logits.double().softmax(-1) @ torch.tensor([*words.values()], dtype=torch.float64))

    @torch.no_grad()
    def answer(self, messages: list[dict[str, Any]], image: Image.Image, tokens: int, **template: Any) -> str:
        """The greedy answer."""
        inputs = self.inputs(messages, image, "", **template)
        ids = self.model.generate(**inputs, max_new_tokens=tokens, do_sample=False)
        return str(self.tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True))

    @torch.no_grad()
    def log_prob(
        self, messages: list[dict[str, Any]], image: Image.Image, before: str, text: str, **template: Any
    ) -> float:
        """The log-probability of `text` after the start of the answer, by one forward pass over both."""
        start = self.inputs(messages, image, before, **template)["input_ids"].shape[1]
        inputs = self.inputs(messages, image, before + text, **template)
        logits = self.model(**inputs).logits[0, :-1].double().log_softmax(-1)
        each = logits.gather(1, inputs["input_ids"][0, 1:, None])[:, 0]
        return float(each[start - 1 :].sum())
