"""examples/spark/score.py on a local Spark with two workers: the scores of the Python API, next to the input's columns."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from process import ROOT, environment

pytest.importorskip("pyspark", reason="pyspark is not installed")
pytest.importorskip("pandas", reason="pandas is not installed")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("java") is None, reason="Spark needs Java"),
]


def test_spark_gives_the_scores_of_this_process(photo_files: list[Path], tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from realqa_cli import Scorer

    names = [*map(str, photo_files[:5]), str(tmp_path / "gone.jpg"), str(photo_files[5])]
    pq.write_table(pa.table({"id": range(len(names)), "path": names}), tmp_path / "photos.parquet")
    call = [
        "score.py",
        tmp_path / "photos.parquet",
        tmp_path / "scores.parquet",
        "--column",
        "path",
        "--backend",
        "echo",
    ]
    ran = subprocess.run(
        [sys.executable, *map(str, call)],
        cwd=ROOT / "examples" / "spark",
        env=environment(PYSPARK_PYTHON=sys.executable, SPARK_LOCAL_IP="127.0.0.1", SPARK_LOCAL_DIRS=str(tmp_path))
        | {"PYSPARK_SUBMIT_ARGS": "--master local[2] --conf spark.ui.enabled=false pyspark-shell"}
        | {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    rows = sorted(pq.read_table(tmp_path / "scores.parquet").to_pylist(), key=lambda row: row["id"])
    assert [row["path"] for row in rows] == names
    expected = Scorer(backend="echo").score(names)
    assert [row["score"] for row in rows] == [record["score"] for record in expected]
    assert [row["interval_low"] for row in rows[:5]] == [record["interval"][0] for record in expected[:5]]
    assert [row["run"] for row in rows] == [record["run"] for record in expected]
    assert rows[5]["error"].startswith("missing: ")
    assert [row["error"] for row in rows[:5]] == [None] * 5
