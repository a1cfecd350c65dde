"""Chat templates of the ONNX backend: texts that were rendered at export equal those of jinja2."""

import json
import shutil
from pathlib import Path

import pytest

from realqa_cli import models
from realqa_cli.backends.base import UnsupportedModel
from realqa_cli.backends.chat_templates import render_question
from realqa_cli.backends.onnx import templates
from realqa_cli.backends.onnx.templates import RENDERED, ChatTemplate
from realqa_cli.domain.prompts import PLAIN_CHAT
from realqa_cli.domain.prompts.conversations import COT_REGULAR_QUESTION, DIRECT_QUESTION

TINY = models.path("realqa-tiny")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with the template of the bundled one."""
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(TINY / name, tmp_path)
    return tmp_path


def asked(folder: Path, question: str = DIRECT_QUESTION) -> tuple[str, bool]:
    """The rendered question about one photo, and whether jinja2 compiled the template for it."""
    template = ChatTemplate(folder)
    return render_question(template.render, question, 1, 0, PLAIN_CHAT), "_template" in vars(template)


@pytest.mark.parametrize("question", [DIRECT_QUESTION, COT_REGULAR_QUESTION])
def test_the_shipped_texts_are_those_that_the_template_renders(
    folder: Path, question: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = asked(folder, question)
    monkeypatch.setattr(templates, "_rendered_texts", lambda template: {})
    rendered, compiled = asked(folder, question)
    assert compiled
    assert shipped == (rendered, False)


def test_another_question_is_rendered(folder: Path) -> None:
    text, compiled = asked(folder, "Is it sharp?")
    assert "Is it sharp?" in text
    assert compiled


def test_a_changed_template_is_rendered(folder: Path) -> None:
    before, _ = asked(folder)
    template = folder / "chat_template.jinja"
    template.write_text("New." + template.read_text())
    assert asked(folder) == (f"New.{before}", True)


def test_changed_special_tokens_are_rendered(folder: Path) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token": "<|other|>"}))
    assert asked(folder)[1]


def test_texts_in_another_folder_are_not_read(folder: Path) -> None:
    before = asked(folder)
    shipped = json.loads((TINY / "onnx" / RENDERED).read_text())
    (folder / "onnx").mkdir()
    changed = shipped | {"texts": dict.fromkeys(shipped["texts"], "Say 5.00.")}
    (folder / "onnx" / RENDERED).write_text(json.dumps(changed))
    assert asked(folder) == before


@pytest.mark.parametrize("template", ["{% nonsense %}", "{{ unclosed"])
def test_a_template_that_is_not_plain_jinja_is_not_supported(folder: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    with pytest.raises(UnsupportedModel, match="not plain jinja"):
        ChatTemplate(folder)
