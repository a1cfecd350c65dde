"""The regression baseline (paper Sec. 4.6): a linear head on the hidden state of a prompt's last token.

A sigmoid turns the output of the head into a share of the scale, 0 to 1. Training and scoring run the same
forward pass. The head is stored next to the weights or the adapter as safetensors; the language model head
is not used.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from realqa_cli.errors import ModelError, one_line
from realqa_cli.models import ModelSource

HEAD_FILE = "regression_head.safetensors"


class RegressionHead(torch.nn.Module):
    """A model of transformers or PEFT with a float32 regression head.

    Call it with the model inputs of a batch of prompts that are padded on the left.
    """

    def __init__(self, model: Any) -> None:
        """Initialises a new head with torch's random number generator."""
        super().__init__()
        self.model = model
        self.head = torch.nn.Linear(model.config.get_text_config().hidden_size, 1).to(model.device)

    @classmethod
    def of(cls, model: Any, source: ModelSource) -> "RegressionHead | None":
        """The model of `source` with its head; None if it was trained for another objective.

        Raises ModelError if the head is missing.
        """
        if source.config is None or source.config.objective != "regression":
            return None
        regressor = cls(model)
        regressor.load_head(source.adapter or source.base)
        return regressor

    def forward(self, **inputs: Any) -> Tensor:
        """(B,) float32 values, 0 to 1."""
        own = self.model.get_base_model() if hasattr(self.model, "get_base_model") else self.model
        hidden_B_H = own.model(**inputs, use_cache=False).last_hidden_state[:, -1].float()
        with torch.autocast(hidden_B_H.device.type, enabled=False):
            return torch.sigmoid(self.head(hidden_B_H)[:, 0])

    @property
    def config(self) -> Any:
        """The configuration of the model."""
        return self.model.config

    def activation_checkpointing_enable(self, *given: Any, **named: Any) -> None:
        """Enables it in the model; `transformers.Trainer` calls this."""
        self.model.activation_checkpointing_enable(*given, **named)

    def load_head(self, folder: Path) -> None:
        """Loads the weights of the head in `folder`. Raises ModelError."""
        try:
            self.head.load_state_dict(load_file(folder / HEAD_FILE))
        except (OSError, RuntimeError, SafetensorError) as error:
            raise ModelError(
                f"its regression head cannot be loaded: {one_line(error, 200)}",
                where=str(folder / HEAD_FILE),
                remedy="copy the whole folder again",
            ) from error

    def parts(self, state: Mapping[str, Tensor] | None) -> tuple[dict[str, Tensor], dict[str, Tensor] | None]:
        """The weights of the head and, if `state` is gathered from several devices, those of the model."""
        if state is None:
            return self.head.state_dict(), None
        head, model = (
            {name.removeprefix(part): value for name, value in state.items() if name.startswith(part)}
            for part in ("head.", "model.")
        )
        return head, model


def save_head(weights: Mapping[str, Tensor], folder: Path) -> None:
    """Writes the head's weights into a model folder."""
    plain = {name: value.detach().cpu().contiguous() for name, value in weights.items()}
    save_file(plain, folder / HEAD_FILE, metadata={"format": "pt"})
