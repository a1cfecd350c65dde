"""The README's commands do what it says: its pipeline runs as printed."""

import json
import re
import subprocess
import sys
from pathlib import Path

from process import ROOT, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_pipeline_runs_as_printed(tmp_path: Path) -> None:
    found = re.search(r"<!-- tests/test_readme.py runs this block -->\n```sh\n(.*?)```", README, re.DOTALL)
    assert found is not None
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    script = f'realqa() {{ "{sys.executable}" -m realqa_cli "$@"; }}\nset -e\n{found[1]}'
    ran = subprocess.run(
        ["bash", "-c", script], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=500
    )
    assert ran.returncode == 0, ran.stderr
    result = json.loads(ran.stdout.splitlines()[-1])
    photos = len(list((ROOT / "examples" / "photos").glob("*.jpg")))
    assert (result["metric"], result["n"], result["missing"]) == ("srcc", photos, 0)
    scorer = json.loads((tmp_path / "my-scorer" / "realqa.json").read_text())
    assert (scorer["base_model"], scorer["scale"]) == ("realqa-tiny", [1.0, 5.0])


def test_links_lead_to_files_that_are_there() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", README) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []
