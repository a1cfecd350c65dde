"""Writes docs/score.svg: what `realqa score examples/photos` prints on a terminal, from a real run.

python docs/make_picture.py
"""

import io
from pathlib import Path

from rich.console import Console

from realqa_cli import Scorer
from realqa_cli.cli.views.scores import ScoreTable
from realqa_cli.io.sources import read_sources

HERE = Path(__file__).parent
WIDTH = 84
COMMAND = "$ realqa score examples/photos"


def main() -> None:
    """Scores the sample photos and draws the table."""
    table = ScoreTable(lambda: None)
    table.console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
    table.console.print(COMMAND, style="bold", highlight=False)
    for record in Scorer().records(read_sources([str(HERE.parent / "examples" / "photos")])):
        table.write(record | {"image": Path(record["image"]).name})
    table.close()
    picture = table.console.export_svg(title="realqa", font_aspect_ratio=0.61)
    # The picture is to load nothing: fonts are the reader's own.
    start, end = picture.index("@font-face"), picture.rindex("@font-face")
    picture = picture[:start] + picture[picture.index("}", end) + 1 :]
    (HERE / "score.svg").write_text(picture.replace("Fira Code", "ui-monospace, monospace"), encoding="utf-8")


if __name__ == "__main__":
    main()
