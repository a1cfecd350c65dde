"""The usual way, to compare with: transformers prepares and generates, photo by photo or in batches."""

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from realqa_cli.domain import prompts


class Plain:
    """A model folder as its documentation would have one use it. Nothing of this project is in it."""

    def __init__(self, folder: Path, dtype: torch.dtype = torch.float32, device: str = "cpu") -> None:
        from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

        model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=dtype)
        self.model: Any = model.to(device).eval()
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder, padding_side="left")
        self.images: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")

    def generate(
        self,
        photos: list[Path] | list[Image.Image],
        *,
        max_pixels: int,
        question: str = prompts.DIRECT_QUESTION,
        tokens: int | None = None,
        batch: int = 1,
    ) -> list[str]:
        """The greedy answers; with `tokens` so many are written, wherever the model would have ended."""
        found: list[str] = []
        for start in range(0, len(photos), batch):
            shown = [self._opened(photo) for photo in photos[start : start + batch]]
            inputs = self._inputs(shown, question, max_pixels)
            count = {"max_new_tokens": tokens or 64} | ({"min_new_tokens": tokens} if tokens else {})
            with torch.inference_mode():
                ids = self.model.generate(**inputs, **count, do_sample=False)
            new = ids[:, inputs["input_ids"].shape[1] :]
            found += self.tokenizer.batch_decode(new, skip_special_tokens=True)
        return found

    def _opened(self, photo: Path | Image.Image) -> Image.Image:
        return photo if isinstance(photo, Image.Image) else Image.open(photo).convert("RGB")

    def _inputs(self, shown: list[Image.Image], question: str, max_pixels: int) -> dict[str, Any]:
        size = {"shortest_edge": min(12_544, max_pixels), "longest_edge": max_pixels}
        made = self.images(images=shown, size=size, return_tensors="pt")
        content = [{"type": "image"}, {"type": "text", "text": question}]
        text = self.tokenizer.apply_chat_template(
            [{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True
        )
        counts = (made["image_grid_thw"].prod(dim=1) // self.images.merge_size**2).tolist()
        pad = self.tokenizer.convert_ids_to_tokens(self.model.config.image_token_id)
        texts = [text.replace(pad, pad * count) for count in counts]
        encoded = self.tokenizer(texts, add_special_tokens=False, padding=True, return_tensors="pt")
        types = (encoded["input_ids"] == self.model.config.image_token_id).int()
        inputs = {**made, "input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}
        inputs["pixel_values"] = made["pixel_values"].to(self.model.dtype)
        return {name: value.to(self.model.device) for name, value in inputs.items()} | {
            "mm_token_type_ids": types.to(self.model.device)
        }
