"""docs/scale.md: its tables are those of the measured figures, and its commands exist."""

import re
import shlex
from dataclasses import replace

import pytest
import yaml
from process import ROOT, Realqa

from benchmarks.scale import Figures, Plan, read_figures, size, tables

PAGE = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
WORKER = Figures("one", [], "a machine", 100, 10.0, 1e6, 500.0, 100.0)


def test_the_tables_are_those_of_the_figures() -> None:
    assert tables(read_figures(), [1e7, 1e9], hourly_cost=0.04) in PAGE, (
        "run python -m benchmarks.scale plan --cost 0.04"
    )


def test_a_plan_is_the_arithmetic_of_the_figures() -> None:
    plan = Plan.of(WORKER, 7.2e6, days=1, hourly_cost=2.0)
    assert plan.worker_hours == pytest.approx(200)
    assert (plan.workers, plan.shards) == (9, 8)
    assert (plan.storage, plan.outputs, plan.index) == (7.2e12, 3.6e9, 7.2e8)
    assert plan.cost == pytest.approx(400)
    assert Plan.of(replace(WORKER, photos_per_second=20.0), 7.2e6, days=1, hourly_cost=None).workers == 5


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (4.16e12, "4.16 TB")])
def test_sizes_have_a_unit(count: float, text: str) -> None:
    assert size(count) == text


def test_its_commands_have_options_that_exist(realqa: Realqa) -> None:
    known = {verb: set(re.findall(r"--[a-z-]+", realqa(verb, "--help-all").out)) for verb in ("score",)}
    known["merge"] = set(re.findall(r"--[a-z-]+", realqa("merge", "--help").out))
    calls = re.findall(r"realqa (score|merge) ([^\n'#;`]*)", PAGE)
    assert len(calls) > 8
    for verb, rest in calls:
        assert set(re.findall(r"(?<!\S)--[a-z-]+", rest)) <= known[verb], rest


def test_the_job_of_kubernetes_is_indexed_and_its_command_is_of_a_shell() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    job = yaml.safe_load(text)
    assert job["spec"]["completionMode"] == "Indexed"
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["sh", "-c"]
    (script,) = container["args"]
    assert f"--shard $I/{job['spec']['completions']}" in script
    assert "realqa" in shlex.split(script)
