"""Make the reference distribution of a model's scores from a folder of photographs.

python examples/reference/make_reference.py PHOTOS... --source "which photographs" [--model NAME] [--output FILE]

The photos are scored with the default settings. The file gets the digest of the model and the settings, the number
of photos, and 201 quantiles of the scores, no photo and no name. The entry of an earlier run with the same model
name is replaced. `realqa score` uses an entry only for scores by a model with the same digest and settings.
"""

import argparse
import json
from pathlib import Path

import numpy as np

from realqa_cli import Scorer
from realqa_cli.io.sources import read_sources
from realqa_cli.models import reference

QUANTILES = 201
DEFAULT = Path(reference.__file__).with_name(reference.FILE)


def main() -> None:
    """Score the photos and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="+", help="folders, photos or lists of them")
    parser.add_argument("--source", required=True, help="which photographs, for readers of the file")
    parser.add_argument("--model", default="realqa-tiny")
    parser.add_argument("--output", type=Path, default=DEFAULT)
    given = parser.parse_args()

    scorer = Scorer(given.model)
    scores = [
        record["score"]
        for record in scorer.records(read_sources(given.photos))
        if record.get("error") is None and not record.get("flags")
    ]
    if len(scores) < 100:
        parser.error(f"{len(scores)} photos are too few for a distribution; give 100 or more")
    entry = {
        "model": given.model,
        "settings": reference.deciding_settings(scorer.manifest.settings),
        "photos": len(scores),
        "source": given.source,
        "quantiles": [round(float(q), 4) for q in np.quantile(scores, np.linspace(0, 1, QUANTILES))],
    }
    earlier = json.loads(given.output.read_text(encoding="utf-8"))["references"] if given.output.exists() else []
    entries = [*(other for other in earlier if other["model"] != given.model), entry]
    text = ",\n".join(json.dumps(each, sort_keys=True) for each in entries)
    given.output.write_text(f'{{"format": 1, "references": [\n{text}\n]}}\n', encoding="utf-8")
    print(f"{len(scores)} scores, median {np.median(scores):.2f}: {given.output}")


if __name__ == "__main__":
    main()
