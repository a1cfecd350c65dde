"""`realqa.json`: the settings of training that scoring must also use, stored in the model folder."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from realqa_cli.domain.prompts import SLOTS
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import ModelError, one_line

CONFIG_FILE = "realqa.json"


class AttributeAgreement(BaseModel):
    """How well the model's labels of an attribute agree with held-out labels.

    known: false if the agreement is not above chance. Further fields contain the measured figures.
    """

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    known: bool = True


class ScorerConfig(BaseModel):
    """The settings that a model was trained with. Unknown fields are kept and ignored.

    scale: lowest and highest score.  digits: M, the number of digits of a score.
    min_pixels, max_pixels: bounds of the area in pixels that photos were resized to.
    base_model: the base of an adapter (a name, hub id or folder); None for full weights.
    level_bounds: of a model that answers in levels, the smallest and largest score of its training set, on `scale`.
    form: the slots (`prompts.SLOTS`) of the regular-form answers in training, in order.
    questions: the questions about attributes in training, by what they ask about: an attribute, a level ("high",
    "middle", "low"), or all attributes ("mix").
    formats: the formats of the conversations in training, such as "direct", "cot", "cot-regular" and "mix".
    attributes: the measured agreement of attributes, by key.
    color_management: whether the colors of photos were converted to sRGB.
    """

    model_config = ConfigDict(extra="allow", frozen=True, defer_build=True)

    format: Literal[1] = 1
    objective: Literal["ntp", "regression", "levels"] = "ntp"
    scale: Scale = Scale(1.0, 5.0)
    digits: Literal[1, 2, 3] = 3
    min_pixels: int | None = Field(default=None, gt=0)
    max_pixels: int | None = Field(default=None, gt=0)
    base_model: str | None = None
    trained_on: str | None = None
    form: tuple[str, ...] | None = None
    level_bounds: Scale | None = None
    formats: tuple[str, ...] | None = None
    questions: dict[str, str] | None = None
    attributes: dict[str, AttributeAgreement] | None = None
    color_management: bool = True

    def unreliable(self, attributes: Iterable[str]) -> list[str]:
        """Those of the attributes whose agreement is not above chance."""
        measured = self.attributes or {}
        return [key for key in attributes if key in measured and not measured[key].known]

    @property
    def has_reasons(self) -> bool:
        """Whether the regular-form answers in training contained reasons."""
        return any(SLOTS[key].free for key in self.form or ())

    @property
    def has_natural_cot(self) -> bool:
        """Whether the model was trained on chains of thought in natural language.

        Files without `formats` state the formats in `trained_on`.
        """
        if self.formats is not None:
            return "cot" in self.formats
        return bool(re.search(r"[\d,]+ cot[,)]", self.trained_on or ""))

    @model_validator(mode="after")
    def _ordered(self) -> "ScorerConfig":
        if not self.scale[0] < self.scale[1]:
            raise ValueError("scale must ascend")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError("min_pixels exceeds max_pixels")
        if unknown := sorted({*(self.form or ())} - {*SLOTS}):
            raise ValueError(f"form contains unknown slots: {', '.join(unknown)}")
        return self


def read_config(folder: Path) -> ScorerConfig | None:
    """The `realqa.json` of the folder; None without one. Raises ModelError for an invalid one."""
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
        raise ModelError(f"cannot be read: {one_line(error)}", where=str(file), remedy="correct the file") from error
