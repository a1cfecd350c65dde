"""The layout of the package: imports point downwards, help is light and complete, names and texts are plain."""

import ast
import json
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from importlib import metadata
from pathlib import Path
from typing import Any

import networkx
import pytest
import typer

from realqa_cli.cli.app import COMMANDS, build_app
from realqa_cli.steps.score.score import ScoreSettings

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "realqa_cli"
MODULES = sorted(PACKAGE.rglob("*.py"))

LAYERS: tuple[set[str], ...] = (
    {"errors"},
    {"domain"},
    {"io", "media"},
    {"models", "datasets"},
    {"backends", "decoding"},
    {"inference"},
    {"steps"},
    {"cli"},
)
"""The folders and modules at the top, lowest first; a module may import from its own layer and from those below."""
TOP = {"__init__", "__main__"} | set[str]().union(*LAYERS)

HEAVY = {
    "openpyxl",
    "torch",
    "transformers",
    "peft",
    "numpy",
    "scipy",
    "sklearn",
    "PIL",
    "jinja2",
    "onnxruntime",
    "huggingface_hub",
    "tokenizers",
    "av",
}


def name_of(module: Path) -> str:
    """`errors` for realqa_cli/errors.py, `backends` for everything in realqa_cli/backends/."""
    first = module.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


def imports(module: Path) -> Iterator[str]:
    """Every dotted name that a module imports, wherever in the module."""
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write imports in full"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def commands() -> dict[str, Any]:
    """Every command by its words: those of a group by two, as "composite fit"."""
    found: dict[str, Any] = {}
    group: Any = typer.main.get_command(build_app())
    for name, command in group.commands.items():
        below = getattr(command, "commands", None)
        found |= {f"{name} {verb}": one for verb, one in below.items()} if below else {name: command}
    return found


def height(name: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if name in layer)


def ours(module: Path) -> list[list[str]]:
    """The realqa_cli modules that a module imports, each as its parts below the package."""
    return [name.split(".")[1:] for name in imports(module) if name.startswith("realqa_cli.")]


def test_the_top_of_the_package_has_ten_folders_and_the_two_modules_of_the_layout() -> None:
    assert {name_of(module) for module in MODULES} == TOP
    assert len(TOP - {"errors", "__init__", "__main__"}) == 10


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_imports_point_downwards(module: Path) -> None:
    if name_of(module) in {"__init__", "__main__"}:
        return
    for parts in ours(module):
        if parts[0] in TOP:
            assert height(parts[0]) <= height(name_of(module)), f"{module}: imports {'.'.join(parts)} from above"


@pytest.mark.parametrize("module", sorted((PACKAGE / "steps").rglob("*.py")), ids=lambda m: str(m.relative_to(PACKAGE)))
def test_a_step_does_not_import_another_step(module: Path) -> None:
    parts = module.relative_to(PACKAGE / "steps").parts
    for imported in ours(module):
        if len(parts) > 1 and imported[0] == "steps" and len(imported) > 1:
            assert imported[1] == parts[0], f"{module} imports {'.'.join(imported)}: move what both need down a layer"


def circles() -> list[list[str]]:
    """Groups of modules that import each other, imports inside functions included."""
    names = {".".join(m.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): m for m in MODULES}
    graph = networkx.DiGraph()
    for name, module in names.items():
        for parts in ours(module):
            target = next((t for t in (".".join(parts), ".".join(parts[:-1])) if t in names), None)
            if target and target != name:
                graph.add_edge(name, target)
    return [sorted(group) for group in networkx.strongly_connected_components(graph) if len(group) > 1]


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles() == []


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_every_module_says_what_it_is_and_has_a_name_that_means_something(module: Path) -> None:
    docstring = ast.get_docstring(ast.parse(module.read_text(encoding="utf-8")))
    assert docstring, "a module opens with what it does"
    assert not set(module.relative_to(PACKAGE).with_suffix("").parts) & {
        "utils", "util", "helpers", "common", "manager", "misc",
    }  # fmt: skip


SAME_NAMES = {
    "apply": "verbs of `realqa calibrate` and `realqa composite`",
    "fit": "verbs of `realqa calibrate` and `realqa composite`",
    "main": "the entry point of a process: the command line, and the worker that decodes",
    "run": "the command line, and a mode of `realqa annotate`",
    "train": "the command and its step",
}
"""Public names that may occur in more than one module, and why."""


def test_a_public_name_belongs_to_one_module() -> None:
    homes: dict[str, list[str]] = {}
    for module in MODULES:
        for node in ast.parse(module.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(module.relative_to(PACKAGE)))
    assert {name: found for name, found in homes.items() if len(found) > 1 and name not in SAME_NAMES} == {}


MODULE_LINES, FUNCTION_LINES = 320, 45
"""The most lines of a module, and of a function without its signature."""


def test_contributors_read_the_limits_that_hold() -> None:
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    limits = f"Modules have at most {MODULE_LINES} lines, functions at most {FUNCTION_LINES} without the signature."
    assert limits in " ".join(page.split())


@pytest.mark.parametrize("module", MODULES, ids=lambda m: str(m.relative_to(PACKAGE)))
def test_modules_and_functions_are_short(module: Path) -> None:
    text = module.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MODULE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.body[0].lineno + 1
            assert lines <= FUNCTION_LINES, f"{node.name}: {lines} lines without its signature"


DIALECT = re.compile(
    r"\b(?:told|anew|beside|stands?(?! for\b)|lessons|mended|by heart|what came out|which see|the door of|the matter of"
    r"|is through|let go|people see)\b|(?<!there )\b(?:is|are) no (?!longer\b|more\b|such\b)[a-z]+",
    re.IGNORECASE,
)
"""Words of an earlier private style: "reported", "again", "next to", "is not a" and the like replace them."""
PROSE = sorted(
    path
    for path in (
        *MODULES,
        *ROOT.glob("*.md"),
        *(found for folder in ("docs", "benchmarks", "examples", "tests") for found in (ROOT / folder).rglob("*")),
    )
    if path.suffix in {".py", ".md"} and path.name not in {"LICENSE", Path(__file__).name}
)
HOLD_SENTENCES = {"critique.py", "phrasing.py", "tokenizer.py"}
"""Modules with the vocabulary of chains of thought, in which a subject may stand before its background."""


@pytest.mark.parametrize("path", PROSE, ids=lambda p: str(p.relative_to(ROOT)))
def test_texts_are_in_plain_english(path: Path) -> None:
    if path.name not in HOLD_SENTENCES:
        text = path.read_text(encoding="utf-8")
        assert DIALECT.findall(text) == []
        named = " ".join(re.findall(r"\bdef (test_\w+)", text)).replace("_", " ")
        assert DIALECT.findall(named) == []


def test_the_vocabulary_knows_neither_torch_nor_files() -> None:
    for name in (PACKAGE / "domain").rglob("*.py"):
        found = {imported.split(".")[0] for imported in imports(name)}
        assert not found & {"torch", "transformers", "pathlib", "os", "io", "PIL", "pydantic"}, name


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["--version"], ["score", "--nope"]])
def test_help_loads_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import json, sys; from realqa_cli.cli import main; main(sys.argv[1:]);"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    loaded = set(json.loads(ran.stdout.splitlines()[-1]))
    assert "typer" in loaded
    assert not loaded & HEAVY


def test_a_score_by_the_bundled_model_imports_only_what_it_needs() -> None:
    code = (
        "import json, sys; from realqa_cli.cli import main; main(sys.argv[1:]);"
        "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules} - {*sys.stdlib_module_names})))"
    )
    photo = str(ROOT / "examples/photos/bee.jpg")
    ran = subprocess.run([sys.executable, "-c", code, "score", photo], capture_output=True, text=True, check=True)
    loaded = set(json.loads(ran.stdout.splitlines()[-1]))
    needed = {
        "PIL",
        "numpy",
        "onnxruntime",
        "pydantic",
        "pydantic_core",
        "realqa_cli",
        "safetensors",
        "tokenizers",
        "typer",
    }
    assert needed <= loaded
    small = {"annotated_doc", "annotated_types", "shellingham", "typing_extensions", "typing_inspection"}
    startup = {"__main__", "__mp_main__", "_distutils_hack", "_virtualenv", "sitecustomize", "coverage"}
    others = {
        name for name in loaded - needed - small - startup if not name.startswith(("_sysconfigdata", "__editable__"))
    }
    assert others == set()


@pytest.mark.parametrize("command", ["score", "eval"])
def test_a_run_imports_the_module_of_its_own_command_only(command: str) -> None:
    code = (
        "import json, sys; from realqa_cli.cli import main; main(sys.argv[1:]);"
        "print(json.dumps([name for name in sys.modules if name.startswith('realqa_cli.cli.')]))"
    )
    ran = subprocess.run([sys.executable, "-c", code, command, "--help"], capture_output=True, text=True, check=True)
    loaded = {name.rsplit(".", 1)[1] for name in json.loads(ran.stdout.splitlines()[-1])}
    verbs = {name.replace("-", "_") for name in COMMANDS}
    assert loaded & verbs == {command}


def test_every_command_has_help_with_examples_that_name_real_options() -> None:
    assert commands()
    for name, command in commands().items():
        assert (command.help or "").strip().endswith("."), name
        examples = [line for line in (command.epilog or "").splitlines() if f"realqa {name} " in line]
        assert examples, f"{name}: the help needs an example"
        options = {option for parameter in command.params for option in parameter.opts}
        ours = " ".join(re.split(r"[|]\s*", line.split(f"realqa {name}", 1)[1])[0] for line in examples)
        assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", ours)) <= options


def test_every_option_says_what_it_does() -> None:
    for name, command in commands().items():
        for parameter in command.params:
            assert parameter.help, f"{name}: {parameter.name}"


def test_the_help_has_the_defaults_of_the_settings() -> None:
    told = {}
    for parameter in commands()["score"].params:
        found = re.search(r"\[default: (.+?)\]", parameter.help)
        told[parameter.name] = found[1] if found else None
        assert parameter.default in (None, False) or parameter.name == "sources", "one place for defaults"
    for setting in fields(ScoreSettings):
        plain = None if isinstance(setting.default, bool) else setting.default  # an option says which it negates
        written = f"{plain:g}" if isinstance(plain, float) else str(plain)
        assert told[setting.name] == (None if plain is None else written), setting.name


def test_the_page_of_commands_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "make_commands.py"))
    assert (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8") == made["page"](), (
        "run `make docs`"
    )


def test_the_documents_have_a_section_for_every_command() -> None:
    page = (ROOT / "docs" / "reference" / "commands.md").read_text(encoding="utf-8")
    for name, command in commands().items():
        assert f"\n## realqa {name}\n" in page
        for parameter in command.params:
            assert all(f"`{option}`" in page for option in parameter.opts if option.startswith("--"))


def packages(lines: list[str]) -> set[str]:
    """The names alone, as registries write them."""
    return {re.split(r"[^\w-]", line, maxsplit=1)[0].lower().replace("_", "-") for line in lines}


def test_what_is_imported_is_declared_and_what_is_declared_is_imported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = packages(project["dependencies"])
    optional = packages([line for extra in project.get("optional-dependencies", {}).values() for line in extra])
    homes = metadata.packages_distributions()
    tops = {name.split(".")[0] for module in MODULES for name in imports(module)}
    foreign = tops - set(sys.stdlib_module_names) - {"realqa_cli"}
    imported = packages([home for top in foreign for home in homes.get(top, [top])])
    assert imported - declared - optional == set(), "declare them in pyproject.toml and constraints.txt"
    # accelerate is what transformers loads large models with: it is needed, and never imported here.
    assert declared - imported - {"accelerate"} == set(), "take them out of pyproject.toml"


def test_constraints_hold_every_dependency_and_no_address() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = set(re.findall(r"^([\w-]+)==[\w.]+$", text, flags=re.MULTILINE))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"].values()
    wanted = [
        *project["project"]["dependencies"],
        *(line for group in groups for line in group if isinstance(line, str)),
    ]
    assert packages(wanted) <= pinned
    assert "://" not in text
    assert "index" not in text
    assert "+cpu" not in text
