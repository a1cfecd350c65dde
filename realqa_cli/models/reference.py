"""The shipped reference distributions: scores of public photographs by a model, to compare other scores with.

A distribution applies to scores that were made with the same model, by its digest, and with the same settings; for
all others there is none. `examples/reference/make_reference.py` makes the file. It holds no photos, only quantiles
of scores.
"""

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from realqa_cli.domain.standing import ReferenceScores

FILE = "reference_scores.json"
WITHOUT_EFFECT = frozenset({"backend", "graphs", "dtype", "video", "measured"})
"""Settings of a run that do not change the score of a photo beyond rounding."""


def deciding_settings(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a run's manifest that decide the scores of photos, as JSON has them."""
    decided = {key: value for key, value in settings.items() if key not in WITHOUT_EFFECT}
    return dict(json.loads(json.dumps(decided)))


def reference_for(settings: Mapping[str, Any]) -> ReferenceScores | None:
    """The reference distribution for scores that were made with these settings; None where there is none."""
    if "model" not in settings:
        return None
    wanted = deciding_settings(settings)
    for entry in _entries():
        if entry["settings"] == wanted:
            return ReferenceScores(entry["quantiles"], photos=entry["photos"], source=entry["source"])
    return None


@cache
def _entries() -> list[dict[str, Any]]:
    text = files("realqa_cli.models").joinpath(FILE).read_text(encoding="utf-8")
    return list(json.loads(text)["references"])
