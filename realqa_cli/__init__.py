"""realqa: how good a photo is, in quality and aesthetics, by multimodal language models.

The command is `realqa`; scripts use the names below, which are imported when first touched so
that the command starts fast.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realqa_cli.domain.numerals import ScoreDistribution
    from realqa_cli.errors import ItemError, ModelError, RealqaError, UsageError
    from realqa_cli.steps.score.results import Comparison, ScoreResult, ScoreResults
    from realqa_cli.steps.score.score import Scorer, ScoreSettings

__version__ = "0.2.0"

__all__ = [
    "Comparison",
    "ItemError",
    "ModelError",
    "RealqaError",
    "ScoreDistribution",
    "ScoreResult",
    "ScoreResults",
    "ScoreSettings",
    "Scorer",
    "UsageError",
    "__version__",
]

_HOMES = {
    "Comparison": "steps.score.results",
    "ItemError": "errors",
    "ModelError": "errors",
    "RealqaError": "errors",
    "ScoreDistribution": "domain.numerals",
    "ScoreResult": "steps.score.results",
    "ScoreResults": "steps.score.results",
    "ScoreSettings": "steps.score.score",
    "Scorer": "steps.score.score",
    "UsageError": "errors",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
