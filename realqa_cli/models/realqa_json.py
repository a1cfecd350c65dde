"""`realqa.json`: what a model folder says of itself, so that scoring uses what training used."""

import json
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from realqa_cli.domain.prompts import SLOTS
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ModelError

CONFIG_FILE = "realqa.json"


class ScorerConfig(BaseModel):
    """The settings that a scorer was trained with and must be read out with.

    scale: lowest and highest score.  digits: M, the digits that a score is written with.
    min_pixels, max_pixels: bounds of the area in pixels that every photo was resized to.
    base_model: what an adapter was trained on (a name, hub id or folder), None for full weights.
    form: the slots (prompts.SLOTS) of the regular-form answers it was trained to give, in their order.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    format: Literal[1] = 1
    objective: Literal["ntp", "regression", "levels"] = "ntp"
    scale: Scale = Scale(1.0, 5.0)
    digits: Literal[1, 2, 3] = 3
    min_pixels: int | None = Field(default=None, gt=0)
    max_pixels: int | None = Field(default=None, gt=0)
    base_model: str | None = None
    trained_on: str | None = None
    form: tuple[str, ...] | None = None

    @model_validator(mode="after")
    def _ordered(self) -> "ScorerConfig":
        if not self.scale[0] < self.scale[1]:
            raise ValueError("scale must ascend")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError("min_pixels exceeds max_pixels")
        if unknown := sorted({*(self.form or ())} - {*SLOTS}):
            raise ValueError(f"form holds unknown slots: {', '.join(unknown)}")
        return self


def read_config(folder: Path) -> ScorerConfig | None:
    """The folder's `realqa.json`, or None where it has none. Raises ModelError for a broken one."""
    file = folder / CONFIG_FILE
    if not file.is_file():
        return None
    try:
        return ScorerConfig.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        problem = error.errors()[0]
        raise ModelError(
            f"{'.'.join(map(str, problem['loc'])) or 'content'}: {problem['msg']}",
            where=str(file),
            remedy="correct the file or train the model again",
        ) from error
    except (OSError, ValueError) as error:
        raise ModelError(f"not readable: {error}", where=str(file), remedy="correct the file") from error
