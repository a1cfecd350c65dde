"""A chat server with a real model behind it, which reports the model's true log-probability of each token.

It honours as much as its settings say: likely tokens, continuing an assistant's words. What it does not honour it
ignores, with status 200, as servers do.
"""

import base64
import io
import json
from typing import Any

import torch
from chat_server import ChatServer, Fault, completion
from PIL import Image

from realqa_cli.backends.base import Prompt
from realqa_cli.backends.hf.model import HFBackend
from realqa_cli.domain.prompts import ChatLayout


class LogprobServer(ChatServer):
    """A model of transformers behind HTTP. top: most likely tokens that it reports, 0 for none."""

    def __init__(self, backend: HFBackend, *, top: int = 20, continues: bool = True) -> None:
        super().__init__(self._answer)
        self.backend, self.top, self.honours_continuing = backend, top, continues

    def _answer(self, body: dict[str, Any]) -> Fault:
        text, images = self._prompt(body)
        with self._lock, torch.inference_mode():
            prompt = self.backend.processor.batch([text], [images])
            inputs = dict(prompt.inputs) | {"input_ids": prompt.ids_B_T, "attention_mask": prompt.mask_B_T}
            if prompt.token_types_B_T is not None:
                inputs["mm_token_type_ids"] = prompt.token_types_B_T
            out = self.backend.model.generate(
                **inputs,
                max_new_tokens=body["max_tokens"],
                do_sample=False,
                output_logits=True,
                return_dict_in_generate=True,
            )
        ids = out.sequences[0, prompt.ids_B_T.shape[1] :].tolist()
        words = self.backend.processor.tokenizer
        written = words.decode(ids, skip_special_tokens=True)
        more: dict[str, Any] = {}
        if body.get("logprobs") and self.top:
            count = min(self.top, body["top_logprobs"])
            logits = [step[0] for step in out.logits]
            more["logprobs"] = {"content": [self._place(*pair, count) for pair in zip(ids, logits, strict=True)]}
        reply = json.loads(completion(written, **more))
        reply["usage"] = {"prompt_tokens": prompt.ids_B_T.shape[1], "completion_tokens": len(ids)}
        return Fault(body=json.dumps(reply))

    def _prompt(self, body: dict[str, Any]) -> tuple[str, tuple[Image.Image, ...]]:
        system = "".join(each["content"] for each in body["messages"] if each["role"] == "system")
        user, *begun = (each for each in body["messages"] if each["role"] != "system")
        parts = user["content"] if isinstance(user["content"], list) else [{"type": "text", "text": user["content"]}]
        images = tuple(image_of(part) for part in parts if part["type"] == "image_url")
        (text,) = (part["text"] for part in parts if part["type"] == "text")
        prompt = Prompt(text, images, layout=ChatLayout(system, bool(images) and parts[0]["type"] == "text"))
        if begun and self.honours_continuing and body.get("continue_final_message"):
            return self.backend.text(prompt) + begun[0]["content"], images
        assistant = [f"{begun[0]['content']}<|im_end|>\n<|im_start|>assistant\n"] if begun else []
        return self.backend.text(prompt) + "".join(assistant), images

    def _place(self, token: int, logits_V: torch.Tensor, count: int) -> dict[str, Any]:
        log_probs_V = torch.log_softmax(logits_V.double(), dim=-1)
        best = log_probs_V.topk(min(count, len(log_probs_V))).indices.tolist()
        own, *likely = (self._entry(one, float(log_probs_V[one])) for one in (token, *best))
        return {**own, "top_logprobs": likely}

    def _entry(self, token: int, log_prob: float) -> dict[str, Any]:
        text = self.backend.processor.tokenizer.decode([token])
        return {"token": text, "logprob": log_prob, "bytes": [*text.encode()]}


def image_of(part: dict[str, Any]) -> Image.Image:
    data = base64.b64decode(part["image_url"]["url"].partition(",")[2])
    return Image.open(io.BytesIO(data)).convert("RGB")
