"""The slim installation: the bundled model without torch and transformers, by exactly the packages of its list.

constraints-slim.txt is that list, constraints-slim-serve.txt what `realqa serve` adds. The packages of the lists are
linked into an empty folder, from which an interpreter runs that sees nothing else.
"""

import json
import re
import subprocess
import sys
import textwrap
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from process import PHOTOS, ROOT, Ran, Realqa, environment
from serving import serving

FEW_PIXELS = ("--max-pixels", "20000")
SLIM, SERVE, ALL = (ROOT / f"constraints{name}.txt" for name in ("-slim", "-slim-serve", ""))
CLIP = ROOT / "tests" / "data" / "hostile" / "video-ok.mp4"
CONVERSATION = {
    "messages": [
        {"role": "user", "content": "<image>Rate the aesthetics and quality of this image briefly."},
        {"role": "assistant", "content": "The score of this image is 3.98."},
    ],
    "images": [str(PHOTOS / "bee.jpg")],
}
IMPORTED = """
    import json, sys
    before = set(sys.modules)

    from realqa_cli.media import worker_pool
    worker_pool.AVAILABLE = False  # what decodes in a process of its own is imported here
    from realqa_cli.cli import main
    from realqa_cli.io.manifest import file_digest
    from pathlib import Path

    photo, heic, clip, large, folder, *options = sys.argv[1:]
    for arguments in (
        ["score", photo, heic, clip, *options, "-o", f"{folder}/x.csv", "--report", f"{folder}/x.html"],
        ["score", photo, *options, "--table", "--metrics-file", f"{folder}/x.prom"],
        ["self-label", photo, *options, "-o", f"{folder}/labels.jsonl"],
    ):
        assert main([*arguments, "-q"]) == 0, arguments
    file_digest(Path(large))  # of a model with large files
    Path(folder, "imported.json").write_text(json.dumps(sorted({n.partition(".")[0] for n in set(sys.modules) - before})))
"""


def pins(file: Path) -> dict[str, str]:
    """Version by name."""
    return dict(re.findall(r"^([\w-]+)==([\w.]+)$", file.read_text(encoding="utf-8"), re.MULTILINE))


def packages_of(modules: set[str]) -> set[str]:
    """The installed packages that the modules belong to, as the lists write them."""
    homes = metadata.packages_distributions()
    found = {home for name in modules for home in homes.get(name, ())}
    return {re.sub(r"[-_.]+", "-", name).lower() for name in found} - {"realqa"}


@pytest.fixture(scope="module")
def heic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A photo of the format that phones write."""
    import pillow_heif
    from PIL import Image

    pillow_heif.register_heif_opener()
    file = tmp_path_factory.mktemp("heic") / "bee.heic"
    with Image.open(PHOTOS / "bee.jpg") as photo:
        photo.resize((300, 200)).save(file)
    return file


@pytest.mark.parametrize("file", [SLIM, SERVE], ids=lambda file: file.name)
def test_the_versions_are_those_of_the_full_list(file: Path) -> None:
    assert pins(file).items() <= pins(ALL).items()
    assert len(pins(file)) == sum("==" in line for line in file.read_text().splitlines())


def test_scoring_and_labelling_import_the_packages_of_the_list_and_no_others(heic: Path, tmp_path: Path) -> None:
    large = tmp_path / "large"
    with large.open("wb") as stream:
        stream.truncate(65 * 2**20)
    given = [PHOTOS / "bee.jpg", heic, CLIP, large, tmp_path, *FEW_PIXELS]
    call = [sys.executable, "-c", textwrap.dedent(IMPORTED), *map(str, given)]
    ran = subprocess.run(
        call, env=environment(XDG_CACHE_HOME=str(tmp_path / "cache")), capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    modules = set(json.loads((tmp_path / "imported.json").read_text()))
    assert not modules & {"torch", "transformers"}
    assert packages_of(modules) == pins(SLIM).keys()


def linked(folder: Path, *lists: Path) -> Path:
    """The folder with links to realqa and to the packages of the lists."""
    folder.mkdir()
    (folder / "realqa_cli").symlink_to(ROOT / "realqa_cli")
    for name in {name for file in lists for name in pins(file)}:
        home = metadata.distribution(name)
        for top in {file.parts[0] for file in home.files or () if file.parts[0] not in ("..", "__pycache__")}:
            (folder / top).symlink_to(str(home.locate_file(top)))
    return folder


def program(folder: Path) -> list[str]:
    """The start of a command in an interpreter that sees the packages of the folder only."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); from realqa_cli.cli import run_process; run_process()"
    return [sys.executable, "-I", "-S", "-c", code]


@pytest.fixture(scope="module")
def slim(tmp_path_factory: pytest.TempPathFactory) -> Realqa:
    """`realqa` with the packages of constraints-slim.txt."""
    folder = linked(tmp_path_factory.mktemp("slim") / "packages", SLIM)
    (folder.parent / "c.jsonl").write_text(json.dumps(CONVERSATION) + "\n")

    def run(*arguments: object, **_: Any) -> Ran:
        call = [*program(folder), *map(str, arguments)]
        ran = subprocess.run(call, env=environment(), cwd=folder.parent, capture_output=True, text=True, timeout=300)
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    return run


def test_the_slim_installation_gives_the_records_of_the_full_one(slim: Realqa, realqa: Realqa, heic: Path) -> None:
    for arguments in (
        ("score", PHOTOS, heic, CLIP, *FEW_PIXELS, "--distribution"),
        ("self-label", PHOTOS / "bee.jpg", *FEW_PIXELS),
    ):
        here, there = realqa(*arguments), slim(*arguments)
        assert (here.code, there.code) == (0, 0), there.err
        assert there.records == here.records


@pytest.mark.parametrize(
    ("arguments", "package"),
    [
        ("train c.jsonl -o run", "torch"),
        ("ncm c.jsonl", "torch"),
        ("score PHOTO --backend hf", "torch"),
        ("score PHOTO --quantize 4bit", "torch"),
        ("explain PHOTO", "torch"),
        ("score PHOTO --model qwen2-vl-2b", "huggingface_hub"),
        ("score PHOTO --server http://127.0.0.1:9/v1 --scale 1-5 --digits 3", "httpx2"),
        ("score PHOTO --measured -q", "scipy"),
    ],
)
def test_a_command_that_needs_more_is_one_line_with_the_remedy(slim: Realqa, arguments: str, package: str) -> None:
    ran = slim(*arguments.replace("PHOTO", str(PHOTOS / "bee.jpg")).split())
    what = f"this needs the Python package {package}, which is not installed"
    assert (ran.code, ran.said) == (2, [f"realqa: {what}; install all requirements: pip install realqa"])


def test_without_the_packages_of_the_server_serve_names_the_extra(slim: Realqa) -> None:
    ran = slim("serve", "--port", 0)
    assert ran.code == 2
    assert re.fullmatch(r"realqa: this needs the Python package \w+, .*; pip install 'realqa\[serve\]'\n", ran.err)


@pytest.mark.slow
def test_the_server_runs_with_the_packages_of_both_lists(realqa: Realqa, tmp_path: Path) -> None:
    folder = linked(tmp_path / "packages", SLIM, SERVE)
    (record,) = realqa("score", PHOTOS / "bee.jpg", *FEW_PIXELS).records
    with serving(*FEW_PIXELS, prefix=program(folder), cwd=tmp_path) as server:
        answer = server.upload(PHOTOS / "bee.jpg")
        assert (answer.status_code, answer.json()) == (200, {**record, "image": "bee.jpg"})
        assert server.client.get("/docs").status_code == 200
        assert server.stop() == 0
