"""The hostile files that are shipped: each has the outcome of its name, one process reads all, nothing is printed.

tests/data/make_hostile.py made the files. A larger corpus of others is read by tests/test_bad_inputs.py.
"""

import json
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent / "data" / "hostile"
FILES = sorted(FOLDER.iterdir())
OUTCOMES = ("photo", "video", "broken", "empty", "too-large", "too-slow", "unsupported")
SCRIPT = """
    import json, sys
    from pathlib import Path

    from realqa_cli.errors import MediaError
    from realqa_cli.media.photo import open_photo
    from realqa_cli.media.video import Sampling, read_video

    for path in sorted(Path(sys.argv[1]).iterdir()):
        try:
            if path.suffix == ".mp4":
                read_video(path, Sampling(2), lambda frame, frames: frame)
                outcome = ["video", ""]
            else:
                assert open_photo(path).mode == "RGB"
                outcome = ["photo", ""]
        except MediaError as error:
            outcome = [error.type, str(error)]
        print(json.dumps([path.name, outcome]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, list[str]]:
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT), str(FOLDER)]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert (ran.returncode, ran.stderr) == (0, "")
    return dict(json.loads(line) for line in ran.stdout.splitlines())


def test_about_forty_files_are_shipped_and_small() -> None:
    assert len(FILES) >= 40
    assert sum(path.stat().st_size for path in FILES) < 1_000_000


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_each_file_has_the_outcome_of_its_name(outcomes: dict[str, list[str]], path: Path) -> None:
    kind, message = outcomes[path.name]
    expected = next(outcome for outcome in OUTCOMES if path.name.startswith(outcome))
    assert kind == expected, message
    if message:
        assert path.name in message
        assert len(message.splitlines()) == 1
