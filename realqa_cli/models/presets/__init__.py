"""Presets: how known models are asked for a score, each as a TOML file in this folder.

A preset contains the authors' question, the start of the answer, the words or numerals with their values, the
layout of the chat and the pixel bounds. A new one is a new file; a user's own is read by `read_preset_file`.
"""

import json
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from realqa_cli.domain.prompts import ChatLayout, ScoreQuestion
from realqa_cli.domain.scales import Scale
from realqa_cli.errors import UsageError, one_line

FOLDER = Path(__file__).parent

NO_PRESET = "none"
"""The name that turns off the preset of a known model."""


class PresetQuestion(BaseModel):
    """A question of a preset.

    prompt: the question.  prefix: the start of the answer, up to the word or numeral.  end: the text after it; with
    the method "think" only where the model's own answer has none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    prompt: str = Field(min_length=1)
    prefix: str = ""
    end: str = "."


class Preset(BaseModel):
    """How a known model is asked for a score.

    name: the name of the file.  aliases: other names.  summary: one sentence.
    source: where the authors' way of asking is published.  note: what else a user should know.
    verified: whether the texts were compared with that source.
    models: patterns of model names (the part after the last "/") that the preset fits, in lower case.
    run: how to run the authors' model, if transformers does not include its architecture.
    method: the method that reads the answer; None if the preset leaves it to the model.
    scale: lowest and highest score.
    numerals: "fixed" (3.90), "short" (as Python prints rounded floats: 3.9) or "any" (4, 3.9 and 3.90).
    words: for the method "levels", the value of each word, best first.
    tag: for the method "think", the text after which the number follows.
    max_tokens, temperature, top_k, top_p: for the method "think", the length and the sampling of a thought.
    system, photo, template: the layout of the chat (`ChatLayout`).
    min_pixels, max_pixels: bounds of the area in pixels that photos are resized to.
    shrink: area in pixels to which larger photos are shrunk first, by nearest neighbour.
    shrink_frames, fps: the same for the frames of videos, and the number of frames per second.
    questions: by name, the default first; {} for the questions of realqa.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    name: str = ""
    aliases: tuple[str, ...] = ()
    summary: str = ""
    source: str = ""
    note: str = ""
    verified: bool = False
    models: tuple[str, ...] = ()
    run: str | None = None
    method: Literal["direct", "levels", "think"] | None = None
    scale: Scale = Scale(1.0, 5.0)
    numerals: Literal["fixed", "short", "any"] = "fixed"
    words: dict[str, float] = Field(default_factory=dict)
    tag: str = ""
    max_tokens: int = Field(default=1024, gt=0)
    temperature: float = Field(default=1.0, gt=0)
    top_k: int = Field(default=0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    system: str = ""
    photo: Literal["first", "last"] = "first"
    template: dict[str, bool | int | str] = Field(default_factory=dict)
    min_pixels: int | None = Field(default=None, gt=0)
    max_pixels: int | None = Field(default=None, gt=0)
    shrink: int | None = Field(default=None, gt=0)
    shrink_frames: int | None = Field(default=None, gt=0)
    fps: float | None = Field(default=None, gt=0)
    questions: dict[str, PresetQuestion] = Field(default_factory=dict)

    @property
    def layout(self) -> ChatLayout:
        """The layout of the chat."""
        return ChatLayout(self.system, self.photo == "last", self.template)

    def question(self, name: str) -> ScoreQuestion:
        """The question with this name."""
        found = self.questions[name]
        return ScoreQuestion(found.prompt, found.prefix, found.end)

    def fits(self, model: str) -> bool:
        """Whether the preset is for the model with this name, hub id or folder."""
        name = model.rstrip("/\\").replace("\\", "/").rsplit("/", 1)[-1].lower()
        return any(fnmatch(name, pattern) for pattern in self.models)

    @model_validator(mode="after")
    def _complete(self) -> "Preset":
        if not self.scale[0] < self.scale[1]:
            raise ValueError("scale must ascend")
        if self.min_pixels and self.max_pixels and self.min_pixels > self.max_pixels:
            raise ValueError("min_pixels exceeds max_pixels")
        if bool(self.words) != (self.method == "levels"):
            raise ValueError("words belong to the method levels, which needs them")
        if self.words and (len({*self.words.values()}) < 2 or not all(map(self._on_scale, self.words.values()))):
            raise ValueError("words need different values on the scale")
        if bool(self.tag) != (self.method == "think"):
            raise ValueError("tag belongs to the method think, which needs it")
        if self.method is not None and not self.questions:
            raise ValueError("a preset with a method needs questions")
        return self

    def _on_scale(self, value: float) -> bool:
        return self.scale[0] <= value <= self.scale[1]


def preset_names() -> list[str]:
    """The names of the presets in the package, in alphabetical order."""
    return sorted(file.stem for file in FOLDER.glob("*.toml"))


def read_preset(name: str) -> Preset:
    """The preset of the package with this name or alias. Raises UsageError for an unknown name."""
    for preset in all_presets():
        if name.lower() in (preset.name, *preset.aliases):
            return preset
    raise UsageError(
        f"unknown preset {name!r}",
        where="--preset",
        remedy=f"use one of: {', '.join(preset_names())}; realqa score --preset-file FILE.toml reads another",
    )


def read_preset_file(file: Path) -> Preset:
    """A preset from a TOML file. Raises UsageError if it is not a valid one."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        return Preset.model_validate({"name": file.stem, **content})
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(map(str, problem["loc"])) or "content"
        what = f"is not a valid preset: {where}: {problem['msg']}"
    except (OSError, ValueError) as error:
        what = f"cannot be read as TOML: {one_line(error)}"
    raise UsageError(what, where=str(file), remedy="see `realqa presets q-align` for an example")


@cache
def all_presets() -> tuple[Preset, ...]:
    """The presets of the package, by name."""
    return tuple(read_preset_file(FOLDER / f"{name}.toml") for name in preset_names())


def preset_for(model: str, folder: Path | None = None) -> Preset | None:
    """The preset for a model, by its name, or by the name in the config.json of its folder; None if unknown."""
    names = [model, *_configured_names(folder)]
    return next((preset for preset in all_presets() for name in names if preset.fits(name)), None)


def _configured_names(folder: Path | None) -> Iterator[str]:
    """The name that the model was loaded from when it was saved, if its config.json has one."""
    if folder is None:
        return
    try:
        config: Any = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        name = config.get("_name_or_path") or config.get("name_or_path")
    except (OSError, ValueError, AttributeError):
        return
    if isinstance(name, str):
        yield name
