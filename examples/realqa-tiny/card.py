"""The model card: `model_card.md` filled with measured figures."""

from __future__ import annotations

from pathlib import Path
from string import Template
from typing import Any

from realqa_cli.domain.attributes import ATTRIBUTES

_GROUPS = {
    "fitted, shipped": ("at the size the model sees", "shipped samples"),
    "fitted, held_out": ("at the size the model sees", "held out"),
    "own_size, shipped": ("at the photo's own size", "shipped samples"),
    "own_size, held_out": ("at the photo's own size", "held out"),
}


def card(figures: dict[str, Any]) -> str:
    """Markdown from the figures of `make.py`."""
    template = Template((Path(__file__).parent / "model_card.md").read_text())
    sentences = figures["sentences"]
    human = figures["human"]
    families = []
    for name, (srcc, plcc, count) in figures["held_out"].items():
        family = "**all**" if name == "all" else name.replace("_", " ")
        families.append(f"| {family} | {count} | {srcc:.3f} | {plcc:.3f} |")
    ladders = []
    for name, counts in figures["ladders_that_fall"].items():
        cells = [*_GROUPS[name], *(f"{fall} of {total}" for fall, total in counts.values())]
        ladders.append(f"| {' | '.join(cells)} |")
    return template.substitute(
        millions=f"{figures['parameters'] / 1e6:.1f}",
        photos=figures["training"]["photos"],
        items=f"{figures['training']['items']:,}",
        steps=f"{figures['training']['steps']:,.0f}",
        windows=f"{figures['training']['windows']:,.0f}",
        minutes=f"{figures['training']['minutes']:.0f}",
        held_photos=figures["training"]["held_photos"],
        held_items=figures["held_out"]["all"][2],
        human=_human(human) if human else "Human opinion: not measured.",
        scenes=next(iter(figures["attributes"].values()))["scenes"],
        attributes="\n".join(_attribute(key, row) for key, row in figures["attributes"].items()),
        scene_scores=_scene_scores(figures["scenes"]),
        families="\n".join(families),
        ladders="\n".join(ladders),
        well_formed=sum(well_formed(text) for text in sentences.values()),
        sentences=len(sentences),
    )


def _attribute(key: str, row: dict[str, float]) -> str:
    shares = [f"{row[name]:.2f}" for name in ("exact", "within_one", "usual", "mean_of_classes", "srcc")]
    return f"| {ATTRIBUTES[key].title.lower()} | {' | '.join(shares)} |"


def _scene_scores(scenes: dict[str, tuple[float, float]]) -> str:
    return ", ".join(f"{way} SRCC {srcc:.3f}, PLCC {plcc:.3f}" for way, (srcc, plcc) in scenes.items()) + "."


def _human(human: dict[str, float]) -> str:
    srcc, plcc = (
        f"{name.upper()} {human[name]:.3f} (95 % interval {low:.3f} to {high:.3f})"
        for name, low, high in (
            ("srcc", human["srcc_low"], human["srcc_high"]),
            ("plcc", human["plcc_low"], human["plcc_high"]),
        )
    )
    return (
        f"{human['images']} images with human mean opinion scores ({human['sources']} sources, a public\n"
        "study of video-coded and scaled frames, never trained on), with a bootstrap over sources:\n"
        f"{srcc}, {plcc}."
    )


def well_formed(text: str) -> bool:
    """Exactly the trained sentence, with a score of 1.00 to 5.00."""
    start, end = "The score of this image is ", "."
    number = text[len(start) : -1]
    return (
        text.startswith(start)
        and text.endswith(end)
        and len(number) == 4
        and number.replace(".", "", 1).isdigit()
        and 1 <= float(number) <= 5
    )
