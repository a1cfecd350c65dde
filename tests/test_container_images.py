"""The Dockerfiles and the Kubernetes examples: checked by their linters, by the command line, and by doing their steps."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from process import PHOTOS, ROOT, Realqa, environment
from serving import serving

from realqa_cli.cli.app import build_app

DOCKERFILES = [ROOT / "Dockerfile", ROOT / "Dockerfile.cuda"]
EXAMPLES = sorted((ROOT / "examples" / "kubernetes").glob("*.yaml"))
BIN = Path(sys.prefix) / "bin"
BASE_MB = 130
"""The base image, python:3.11-slim, unpacked."""


def steps(file: Path, instruction: str) -> list[str]:
    """The arguments of every such instruction of a Dockerfile, each on one line."""
    text = re.sub(r"\\\n\s*", "", file.read_text(encoding="utf-8"))
    return re.findall(rf"^{instruction} (.+)$", text, re.MULTILINE)


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_a_dockerfile_passes_its_linter_without_exceptions(file: Path) -> None:
    hadolint = shutil.which("hadolint", path=f"{BIN}{os.pathsep}{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed")
    ran = subprocess.run([hadolint, "--failure-threshold", "style", file], capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "")
    assert "hadolint ignore" not in file.read_text()


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_runs_as_a_numbered_user_and_starts_realqa(file: Path) -> None:
    assert steps(file, "USER") == ["65532:65532"]
    assert steps(file, "ENTRYPOINT") == ['["realqa"]']


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_what_an_image_copies_is_not_ignored(file: Path) -> None:
    kept = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]
    copied = [name for step in steps(file, "COPY") if "--from" not in step for name in step.split()[:-1]]
    assert copied
    for name in copied:
        assert (ROOT / name).exists()
        assert any(Path(name).match(pattern) for pattern in kept), name


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_a_kubernetes_example_fits_the_schemas_strictly(file: Path) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for resource in resources(file):
        validator.validate(resource, "1.33", strict=True)


def resources(file: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))


def pod(file: Path) -> dict[str, Any]:
    """The specification of the pods that the example starts."""
    spec: dict[str, Any] = next(
        found["spec"]["template"]["spec"] for found in resources(file) if found["kind"] in ("Deployment", "Job")
    )
    return spec


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_the_pods_have_no_rights_and_write_nowhere_but_in_their_volumes(file: Path) -> None:
    (container,) = pod(file)["containers"]
    assert pod(file)["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


def test_the_deployment_starts_a_server_that_its_probes_and_its_service_find() -> None:
    _, deployment, service = resources(ROOT / "examples" / "kubernetes" / "serve.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    name, *arguments = container["args"]
    commands: Any = typer.main.get_command(build_app())
    params = commands.commands[name].make_context(name, list(arguments)).params
    assert [{"name": "http", "containerPort": params["port"]}] == container["ports"]
    assert params["api_key_env"] in {each["name"] for each in container["env"]}
    assert service["spec"]["selector"] == deployment["spec"]["template"]["metadata"]["labels"]
    probes = {container[probe]["httpGet"]["path"] for probe in ("startupProbe", "readinessProbe", "livenessProbe")}
    arguments[arguments.index("--port") + 1] = "0"
    arguments[arguments.index("--host") + 1] = "127.0.0.1"
    with serving(*arguments, "--max-pixels", 20000, env={params["api_key_env"]: "a-key"}) as server:
        scraped = deployment["spec"]["template"]["metadata"]["annotations"]["prometheus.io/path"]
        assert {path: server.client.get(path).status_code for path in (*probes, scraped)} == {
            "/healthz": 200,
            scraped: 200,
        }


def job(folder: Path, program: str) -> tuple[str, int]:
    """The script of the job with folders below this one, where `realqa` runs `program`; and its number of shards."""
    (resource,) = resources(ROOT / "examples" / "kubernetes" / "shards.yaml")
    (container,) = resource["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["/bin/sh", "-c"]
    (script,) = container["args"]
    (folder / "realqa").write_text(f"#!/bin/sh\n{program}\n")
    (folder / "realqa").chmod(0o755)
    (folder / "scores").mkdir()
    script = script.replace("/photos", str(PHOTOS)).replace("/scores/", f"{folder}/scores/")
    return script, resource["spec"]["completions"]


def run_shard(script: str, folder: Path, index: int) -> int:
    variables = environment(JOB_COMPLETION_INDEX=str(index), PATH=f"{folder}{os.pathsep}{os.environ['PATH']}")
    return subprocess.run(["/bin/sh", "-c", script], env=variables, capture_output=True, timeout=300).returncode


@pytest.mark.parametrize(("code", "expected"), [(0, 0), (1, 0), (2, 2), (130, 130), (137, 137)])
def test_a_shard_with_error_records_is_done_and_another_failure_is_not(
    tmp_path: Path, code: int, expected: int
) -> None:
    script, _ = job(tmp_path, f"exit {code}")
    assert run_shard(script, tmp_path, 0) == expected


@pytest.mark.slow
def test_the_shards_of_the_job_merge_to_the_scores_of_one_run(tmp_path: Path, realqa: Realqa) -> None:
    script, shards = job(tmp_path, f'exec "{sys.executable}" -m realqa_cli "$@" --backend echo')
    assert [run_shard(script, tmp_path, index) for index in range(shards)] == [0] * shards
    merged = realqa("merge", *sorted((tmp_path / "scores").glob("part-*.jsonl")))
    assert merged.code == 0, merged.err
    whole = realqa("score", PHOTOS, "--backend", "echo")
    scores = [{record["image"]: record["score"] for record in ran.records} for ran in (merged, whole)]
    assert scores[0] == scores[1]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment that the Dockerfile builds, by its own steps, in an empty folder with what it copies."""
    folder = tmp_path_factory.mktemp("image")
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder / "probe")]
    if subprocess.run([*pip, "hatchling"], capture_output=True).returncode != 0:
        pytest.skip("no package registry can be reached")
    source = folder / "source"
    source.mkdir()
    for step in steps(DOCKERFILES[0], "COPY"):
        *names, target = step.split()
        for name in names if "--from" not in step else ():
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, source / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / name, source)
    (script,) = steps(DOCKERFILES[0], "RUN")
    built = folder / "built"
    clean = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    clean["PATH"] = f"{BIN}{os.pathsep}{clean['PATH']}"
    ran = subprocess.run(
        ["/bin/sh", "-ec", script.replace("/opt/realqa", str(built))],
        cwd=source,
        env=clean,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ran.returncode == 0, ran.stderr
    shutil.rmtree(source)
    return built


@pytest.mark.slow
def test_the_steps_of_the_cpu_image_give_a_small_installation_with_the_same_scores(image: Path, realqa: Realqa) -> None:
    size = sum(file.lstat().st_size for file in image.rglob("*") if file.is_file() and not file.is_symlink()) / 1e6
    assert size + BASE_MB < 500
    assert not [*image.rglob("site-packages/torch"), *image.rglob("site-packages/transformers")]
    clean = {name: value for name, value in environment().items() if name != "PYTHONPATH"}
    call: list[str | Path] = [image / "bin" / "realqa", "score", PHOTOS, "--json"]
    ran = subprocess.run(call, env=clean, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert [json.loads(line) for line in ran.stdout.splitlines()] == realqa("score", PHOTOS).records


READ_ONLY = 'mount --make-rprivate / && mount -o remount,ro,bind / && ! touch "$0" 2> /dev/null && cd / && exec "$@"'


def may_remount() -> bool:
    call = ["unshare", "--mount", "--map-root-user", "/bin/sh", "-c", READ_ONLY, str(Path.home() / "x"), "true"]
    return shutil.which("unshare") is not None and subprocess.run(call, capture_output=True).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not may_remount(), reason="this system does not permit a read-only file system")
def test_the_installation_works_where_it_can_write_nothing(image: Path) -> None:
    wrapper = ["unshare", "--mount", "--map-root-user", "/bin/sh", "-c", READ_ONLY, str(image / "written")]
    clean = {"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
    photos = [PHOTOS / "bee.jpg", ROOT / "tests" / "data" / "hostile" / "photo-interlaced-16-bit.png"]
    call = [*wrapper, str(image / "bin" / "realqa"), "score", *map(str, photos), "--json", "--max-pixels", "20000"]
    ran = subprocess.run(call, env=clean, capture_output=True, text=True, timeout=300)
    assert (ran.returncode, len(ran.stdout.splitlines())) == (0, 2), ran.stderr
    with serving(
        "--max-pixels", 20000, prefix=[*wrapper, str(image / "bin" / "realqa")], env={"PYTHONPATH": ""}
    ) as server:
        assert server.upload(*photos).status_code == 200
        assert server.stop() == 0
