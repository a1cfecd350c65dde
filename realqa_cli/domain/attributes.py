"""The ten fine-grained attributes of the RealQA data set: keys, levels, options, codes.

Paper Sec. 3.1 and App. Tab. 3; codes Sec. 4.1. Pure: no model, no file, no prompt.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Level = Literal["high", "middle", "low"]
Kind = Literal["rating", "choice", "text"]

RATING_MIN, RATING_MAX = 1, 10
"""Range of the integer scores of the high-level attributes, both ends included."""


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    `kind` is "rating" (a reason in free text and an integer from 1 to 10), "choice" (one of
    `options`) or "text" (the two short texts `subject` and `background`; not scored).
    `options` are in the order of their codes; SRCC and PLCC are computed on `codes`.
    """

    key: str
    title: str
    level: Level
    kind: Kind
    options: tuple[str, ...] = ()
    codes: tuple[int, ...] = ()
    glosses: tuple[str, ...] = ()
    noun: str = ""

    @property
    def scored(self) -> bool:
        """Whether the attribute is one of the nine columns of the paper's Tab. 1."""
        return self.kind != "text"

    def phrase(self, option: str) -> str:
        """The option as texts write it: "medium saturation", "very clear"."""
        return f"{option} {self.noun}".rstrip()

    def code(self, value: object) -> int:
        """The number for correlations. Raises ValueError for an unknown value."""
        if self.kind == "rating":
            return _rating(self.key, value)
        return self.codes[self.options.index(self.normalise(value))]

    def normalise(self, value: object) -> str:
        """The option that `value` means, ignoring case, blanks and a trailing noun or gloss.

        "Medium saturation" gives "medium", "fully complete (no cuts ...)" gives "fully complete".
        Raises ValueError if no option matches, or for an attribute without options.
        """
        text = " ".join(str(value).split()).casefold().split(" (")[0].rstrip(".")
        if self.noun:
            text = text.removesuffix(self.noun).rstrip()
        if text not in self.options:
            raise ValueError(f"{self.key}: {value!r} is none of: {', '.join(self.options) or 'no options'}")
        return text


def _rating(key: str, value: object) -> int:
    if isinstance(value, Mapping):
        value = value.get("score")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        raise ValueError(f"{key}: {value!r} is not a whole number")
    if not RATING_MIN <= value <= RATING_MAX:
        raise ValueError(f"{key}: {value!r} is not from {RATING_MIN} to {RATING_MAX}")
    return int(value)


_CLUTTER = ("cluttered", "moderately cluttered", "uncluttered")

ATTRIBUTES: dict[str, Attribute] = {
    attribute.key: attribute
    for attribute in (
        Attribute("composition", "Composition", "high", "rating"),
        Attribute("eye_catching", "Eye-Catching", "high", "rating"),
        Attribute("subject_background", "Subject and Background", "middle", "text"),
        Attribute(
            "subject_integrity",
            "Subject Integrity",
            "middle",
            "choice",
            ("incomplete", "partially complete", "fully complete"),
            (1, 2, 3),
            (
                "mostly cut off or mostly obscured",
                "slightly cut off or slightly obscured",
                "no cuts or obstructions at all",
            ),
        ),
        Attribute("subject_clutter", "Subject Clutter", "middle", "choice", _CLUTTER, (1, 2, 3)),
        Attribute("background_clutter", "Background Clutter", "middle", "choice", _CLUTTER, (1, 2, 3)),
        Attribute("level_shot", "Level Shot", "middle", "choice", ("yes", "no"), (1, 0)),
        Attribute(
            "image_clarity",
            "Image Clarity",
            "low",
            "choice",
            ("very blurry", "moderately blurry", "moderately clear", "very clear"),
            (1, 2, 3, 4),
        ),
        Attribute(
            "exposure",
            "Exposure",
            "low",
            "choice",
            (
                "overexposed",
                "slightly overexposed",
                "properly exposed",
                "slightly underexposed",
                "underexposed",
            ),
            (1, 2, 3, 4, 5),
        ),
        Attribute(
            "saturation",
            "Saturation",
            "low",
            "choice",
            ("ultra-low", "low", "medium", "high", "ultra-high"),
            (1, 2, 3, 4, 5),
            noun="saturation",
        ),
    )
}
"""The ten attributes by key, from the high level to the low one, in the order of the answers."""

LEVELS: dict[Level, tuple[Attribute, ...]] = {
    level: tuple(a for a in ATTRIBUTES.values() if a.level == level) for level in ("high", "middle", "low")
}
"""The attributes of each level; the key order is the paper's default, "High Middle Low"."""


def exposure_quality(value: object) -> int:
    """Exposure as 0 (over- or underexposed), 1 (slightly) or 2 (proper).

    Correlation uses the natural order from over to under (`Attribute.code`); a composite score
    needs this one, in which more is better.
    """
    return 2 - abs(ATTRIBUTES["exposure"].code(value) - 3)
