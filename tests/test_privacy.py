"""No command opens a connection or writes other files than those that its options name.

Every command runs in a process of its own with an audit hook, which sees what Python code does, and under strace
where that is installed, which also sees what compiled libraries do. ONNX Runtime, for one, reports to its makers
and writes a device id into the home folder unless an environment variable forbids it before it is imported.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from chat_server import ChatServer
from every_command import make_inputs
from made_labels import SAID
from process import PHOTOS, ROOT, command, environment

from realqa_cli.cli.app import build_app

HOOK = """
import os, sys
_log = os.open(os.environ["AUDIT_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT
def _note(path):
    if isinstance(path, (str, bytes, os.PathLike)):
        os.write(_log, f"write {os.path.abspath(os.fsdecode(path))}\\n".encode())
def _hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        named = arguments[1:] if event in ("socket.connect", "socket.sendto") else arguments[:2]
        os.write(_log, f"net {event} {named!r}\\n".encode())
    elif event == "open" and isinstance(arguments[2], int) and arguments[2] & _WRITES:
        _note(arguments[0])
    elif event == "os.mkdir":
        _note(arguments[0])
    elif event == "os.rename":
        _note(arguments[1])
sys.addaudithook(_hook)
"""
ASKED = ["--server", "URL", "--model", "tiny"]
RUNS = {
    "score": ["score", "bee.jpg", "-o", "scores.jsonl"],
    "score-hf": ["score", "bee.jpg", "--backend", "hf", "--max-pixels", "20000", "-o", "scores.jsonl"],
    "self-label": ["self-label", "bee.jpg", "-o", "attributes.jsonl", "--max-pixels", "20000"],
    "annotate": ["annotate", "bee.jpg", *ASKED, "--retries", "0", "-o", "annotated.jsonl"],
    "ncm": ["ncm", "conversations.jsonl", "--max-pixels", "20000"],
    "build-cot": ["build-cot", "labels.jsonl", "-o", "built.jsonl"],
    "split": ["split", "rows.jsonl", "-o", "one.jsonl", "--held-out", "two.jsonl"],
    "train": ["train", "conversations.jsonl", "-o", "run", "--max-steps", "1", "--max-pixels", "20000"],
    "eval": ["eval", "predictions.jsonl", "--bootstrap", "10", "--report", "report.html"],
    "rank": ["rank", "bee.jpg", "--backend", "echo", "-o", "ranking.jsonl", "--report", "ranking.html"],
    "compare": ["compare", "bee.jpg", "copy.jpg"],
    "explain": ["explain", "bee.jpg", "--max-pixels", "20000", "--map", "map.png", "--report", "explained.html"],
    "merge": ["merge", "scores.jsonl", "-o", "merged.jsonl"],
    "calibrate fit": [
        "calibrate",
        "fit",
        "predictions.jsonl",
        "--scores",
        "predictions.jsonl",
        "-o",
        "my.calibration.json",
    ],
    "calibrate apply": [
        "calibrate",
        "apply",
        "predictions.jsonl",
        "--calibration",
        "my.calibration.json",
        "-o",
        "applied.jsonl",
    ],
    "composite fit": ["composite", "fit", "rows.jsonl", "--target", "mos", "--bootstrap", "0", "-o", "weights.json"],
    "composite apply": ["composite", "apply", "labels.jsonl", "--weights", "given.json", "-o", "composites.jsonl"],
    "leaderboard": [
        "leaderboard",
        "--models",
        "realqa-tiny",
        "--datasets",
        "csv:opinions.csv",
        "-o",
        "board",
        "--repeat",
        "0",
        "--bootstrap",
        "10",
        "--max-pixels",
        "20000",
    ],
    "sort-probe": ["sort-probe", *ASKED, "--trials", "2"],
    "presets": ["presets"],
    "doctor": ["doctor"],
    "version": ["--version"],
}
"""Arguments by command, for a folder of `every_command.make_inputs`; URL is the address of a server."""
FIRST = {"merge": "score", "calibrate apply": "calibrate fit"}
"""The run that makes the input of another."""
SLOW = {*RUNS} - {"score", "self-label", "annotate", "eval", "version"}
DRAWS = {"explain", "doctor"}
"""Commands that import matplotlib, which keeps a list of the fonts in its own cache and configuration folders."""
SERVES = {"serve"}
"""Commands that wait for connections: tests/steps/serve has their tests."""
IGNORED = re.compile(r"^$|^/dev/(null|tty|shm/)|\.pyc(\.\d+)?$|__pycache__|^/proc/|/torchinductor_\w+$")


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The current folder of the command, with an input of each kind."""
    work = tmp_path / "work"
    work.mkdir()
    make_inputs(work)
    shutil.copy(PHOTOS / "bee.jpg", work / "copy.jpg")
    rows = (
        {"image": f"{i}.jpg", "score": 1 + i / 20, "scale": [1, 5], "mos": 1 + i % 7 / 9 + i / 25} for i in range(72)
    )
    (work / "predictions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    opinions = "".join(f"{file.name},{mos}\n" for mos, file in enumerate(sorted(PHOTOS.glob("*.jpg"))[:4], 1))
    (work / "opinions.csv").write_text("image,mos\n" + opinions)
    for file in sorted(PHOTOS.glob("*.jpg"))[:4]:
        shutil.copy(file, work)
    return work


@pytest.fixture(scope="module")
def server() -> Iterator[ChatServer]:
    with ChatServer(lambda body: json.dumps(SAID)) as server:
        yield server


def quiet_environment(tmp_path: Path) -> dict[str, str]:
    """The folders of a user who has never run anything, and the audit hook."""
    for name in ("home", "hook", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "hook" / "sitecustomize.py").write_text(HOOK)
    kept = {k: v for k, v in environment().items() if not k.startswith(("XDG_", "HF_", "ORT_"))}
    return kept | {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PYTHONPATH": os.pathsep.join([str(tmp_path / "hook"), str(ROOT)]),
        "AUDIT_LOG": str(tmp_path / "audit.log"),
    }


def test_every_command_has_a_run() -> None:
    names = {" ".join(arguments[:2]) for arguments in RUNS.values()} | {arguments[0] for arguments in RUNS.values()}
    main: Any = typer.main.get_command(build_app())
    groups = {name: getattr(one, "commands", None) for name, one in main.commands.items()}
    known = {f"{name} {verb}" if verbs else name for name, verbs in groups.items() for verb in verbs or [""]}
    assert known - names == SERVES


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in RUNS])
def test_a_command_opens_no_connection_but_to_its_server_and_writes_its_output_only(
    name: str, tmp_path: Path, work: Path, server: ChatServer
) -> None:
    if name in FIRST:
        subprocess.run(command(*RUNS[FIRST[name]]), cwd=work, env=environment(), capture_output=True, check=True)
    arguments = [word.replace("URL", server.url) for word in RUNS[name]]
    ran = subprocess.run(
        command(*arguments), cwd=work, env=quiet_environment(tmp_path), capture_output=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr.decode()
    events = [line.partition(" ")[::2] for line in (tmp_path / "audit.log").read_text().splitlines()]
    port = server.url.rpartition(":")[2].partition("/")[0]
    to_server = re.compile(rf"^socket\.(connect|getaddrinfo) .*'(127\.0\.0\.1|localhost)', {port}\b")
    net = [what for kind, what in events if kind == "net"]
    assert [what for what in net if not to_server.match(what)] == []
    assert bool(net) == ("URL" in RUNS[name])
    written = {what for kind, what in events if kind == "write" and not IGNORED.search(what)}
    home = tmp_path / "home"
    of_matplotlib = [home / ".cache" / "matplotlib", home / ".config" / "matplotlib"] if name in DRAWS else []
    parents = {str(folder.parent) for folder in of_matplotlib}
    allowed = (str(work), str(tmp_path / "tmp"), *map(str, of_matplotlib))
    assert sorted(path for path in written - parents if not path.startswith(allowed)) == []
    found = [str(path) for path in home.rglob("*")]
    assert [path for path in found if path not in parents and not path.startswith(tuple(map(str, of_matplotlib)))] == []
    left = [path for path in (tmp_path / "tmp").rglob("*") if not path.name.startswith("torchinductor_")]
    assert left == [], "temporary files are removed; torch leaves an empty folder"


def strace_works() -> bool:
    if shutil.which("strace") is None:
        return False
    return subprocess.run(["strace", "-f", "-o", os.devnull, "true"], capture_output=True).returncode == 0


@pytest.mark.skipif(not strace_works(), reason="strace is not installed or not permitted")
def test_no_library_opens_a_connection(tmp_path: Path, work: Path) -> None:
    log = tmp_path / "strace.log"
    traced = ["strace", "-f", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(log), *command(*RUNS["score"])]
    ran = subprocess.run(traced, cwd=work, env=quiet_environment(tmp_path), capture_output=True, timeout=300)
    assert ran.returncode == 0, ran.stderr.decode()
    assert [line for line in log.read_text().splitlines() if "AF_INET" in line] == []


def test_telemetry_of_onnx_runtime_is_off_before_it_is_imported() -> None:
    code = (
        "import os, sys; from realqa_cli.backends.onnx.runtimes import import_onnxruntime;"
        "assert 'onnxruntime' not in sys.modules; import_onnxruntime();"
        "print(os.environ['ORT_DISABLE_TELEMETRY'], 'onnxruntime' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["1", "True"]


def test_onnxruntime_is_imported_in_one_place() -> None:
    files = [
        f
        for f in (ROOT / "realqa_cli").rglob("*.py")
        if re.search(r"^\s*(import|from) onnxruntime", f.read_text(), re.M)
    ]
    assert [file.name for file in files] == ["runtimes.py"]


def test_the_private_names_of_libraries_are_where_they_are_expected() -> None:
    """A new version that moves them fails here, and names the one function to change."""
    from realqa_cli.backends.onnx.runtimes import onnxruntime_errors

    names = {error.__name__ for error in onnxruntime_errors()}
    assert {"Fail", "InvalidArgument"} <= names, "onnxruntime moved its errors: see runtimes.onnxruntime_errors"

    from transformers import Qwen2Config, Qwen2ForCausalLM

    from realqa_cli.backends.hf.fused_ops import attention_of

    config = Qwen2Config(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=1,
        num_key_value_heads=1,
        vocab_size=8,
    )
    model = Qwen2ForCausalLM._from_config(config, attn_implementation="eager")
    assert attention_of(model) == "eager", "transformers moved the attention's name: see fused_ops.attention_of"
