"""The README's commands do what it says: its pipeline runs as printed."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from process import ROOT, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")


SMALLER = """
realqa() {
    case "$1" in train) set -- "$@" --max-steps 2 --batch-size 1 --effective-batch-size 2 --max-pixels 50176 ;; esac
    "$PYTHON" -m realqa_cli "$@"
}
set -e
"""
"""Two steps only, and small photos: the printed command takes minutes."""


@pytest.mark.slow
def test_the_pipeline_runs_as_printed(tmp_path: Path) -> None:
    """The printed block, on eight of the photographs."""
    found = re.search(r"<!-- tests/test_readme.py runs this block -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert found is not None
    sample = ROOT / "examples" / "livec-sample"
    part = tmp_path / "examples" / "livec-sample"
    part.mkdir(parents=True)
    lines = (sample / "mos.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)[::5]
    (part / "mos.jsonl").write_text("".join(lines), encoding="utf-8")
    for line in lines:
        (part / json.loads(line)["image"]).symlink_to(sample / json.loads(line)["image"])
    variables = environment(PYTHON=sys.executable)
    ran = subprocess.run(
        ["bash", "-c", SMALLER + found[1]], cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=500
    )
    assert ran.returncode == 0, ran.stderr
    assert "changes the model's scale" not in ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    assert (result["metric"], result["n"], result["missing"]) == ("srcc", 2, 0)
    scorer = json.loads((tmp_path / "my-scorer" / "realqa.json").read_text())
    assert (scorer["base_model"], scorer["scale"]) == ("realqa-tiny", [1.0, 5.0])
    trained, tested = (
        {json.loads(line)["image"] for line in (tmp_path / f"{name}.jsonl").read_text().splitlines()}
        for name in ("fit", "test")
    )
    assert len(trained | tested) == len(trained) + len(tested) == 8


def test_links_lead_to_files_that_are_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
