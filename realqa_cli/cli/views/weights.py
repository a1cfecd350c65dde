"""What each attribute is worth, on a terminal: standardised weights as bars, their intervals, and VIP."""

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from realqa_cli.cli.views.fitted_table import Column, fitted_table
from realqa_cli.domain.wording import plural

if TYPE_CHECKING:
    from realqa_cli.steps.composite.weights_file import Weights

BAR = 10
"""Characters on each side of zero."""

_COLUMNS = (
    Column("attribute", is_name=True),
    Column("weight"),
    Column("std. weight", drop=1),
    Column("", drop=4, left=True),  # the bar
    Column("95 %", drop=3),
    Column("VIP", drop=2),
)


def lines_of(weights: "Weights") -> Iterator[dict[str, Any]]:
    """A record for each attribute, the heaviest first, and one for the whole."""
    for key, one in _by_weight(weights):
        yield {"attribute": key, **one.model_dump(mode="json", exclude={"codes", "mean", "std"})}
    whole = ("target", "n", "components", "intercept", "left_out")
    found = weights.model_dump(mode="json", include=set(whole))
    validated = {name: weights.cross_validation.get(name) for name in ("r2", "srcc", "folds", "rule")}
    yield {name: found[name] for name in whole} | validated


def print_weights(weights: "Weights") -> None:
    """Prints the table, and a line on how far the weights can be trusted."""
    console = Console(file=sys.stdout)
    most = max(abs(one.standardised) for one in weights.attributes.values()) or 1.0
    rows: list[list[str | Text]] = []
    for key, one in _by_weight(weights):
        sure = one.ci95 is not None and one.ci95[0] * one.ci95[1] > 0
        rows.append(
            [
                key.replace("_", " "),
                f"{one.weight:+.3g}",
                Text(f"{one.standardised:+.3f}", "bold" if sure else ""),
                _bar(one.standardised / most),
                Text("–", "dim") if one.ci95 is None else Text(f"{one.ci95[0]:+.3f} … {one.ci95[1]:+.3f}", "dim"),
                Text(f"{one.vip:.2f}", "bold" if one.vip >= 1 else ""),
            ]
        )
    console.print(fitted_table(_COLUMNS, rows, console.width), crop=False)
    validated = weights.cross_validation
    srcc = "–" if validated["srcc"] is None else f"{validated['srcc']:.3f}"
    console.print(
        f"\n{weights.target} of {plural(weights.n, 'label')}, "
        f"{plural(weights.components, 'component')}; held out: R2 {validated['r2']:.3f}, SRCC {srcc}",
        highlight=False,
    )


def _by_weight(weights: "Weights") -> list[tuple[str, Any]]:
    return sorted(weights.attributes.items(), key=lambda item: -abs(item[1].standardised))


def _bar(share: float) -> Text:
    """-1 to 1 as a bar to the left or to the right of zero."""
    length = round(abs(share) * BAR)
    if share < 0:
        return Text.assemble(" " * (BAR - length), ("━" * length, "red"), ("│", "dim"), " " * BAR)
    return Text.assemble(" " * BAR, ("│", "dim"), ("━" * length, "green"), " " * (BAR - length))
