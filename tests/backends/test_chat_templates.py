"""A chat template comes with the model: one that fails or never ends is reported, not obeyed."""

import threading
import time
from pathlib import Path

import pytest
from small_models import tokenizer, write

from realqa_cli.backends import chat_templates
from realqa_cli.backends import time_limit as time_limit_module
from realqa_cli.backends.chat_templates import templated, turn
from realqa_cli.backends.time_limit import time_limit
from realqa_cli.cli import main
from realqa_cli.errors import ModelError

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
HOSTILE = [
    "{{ messages[0].__class__.__mro__[1].__subclasses__() }}",
    "{% for a in range(10 ** 12) %}{% endfor %}",
    "{{ 1 / 0 }}",
    "{{ messages[9]['content'][0]['text'] }}",
    "{{ raise_exception('only for people with a licence') }}",
    "{% if %}",
]


@pytest.mark.parametrize("template", HOSTILE)
def test_a_template_that_fails_is_one_line(template: str) -> None:
    words = tokenizer()
    words.chat_template = template
    with pytest.raises(ModelError, match=r"the model.s chat template fails: .*; check chat_template\.jinja"):
        templated(words, [turn("user", "How good is it?")], True)


def test_a_template_that_never_ends_is_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(chat_templates, "TEMPLATE_SECONDS", 0.5)
    words = tokenizer()
    words.chat_template = ENDLESS
    with pytest.raises(ModelError, match=r"the model.s chat template did not end within 0\.5 s"):
        templated(words, [turn("user", "How good is it?")], True)


def loop_for_ever() -> None:
    while True:
        pass


def test_the_limit_concerns_its_own_block_and_thread_only() -> None:
    with time_limit(0.3):
        pass
    time.sleep(0.8)  # longer than the limit, outside the block
    others: list[str] = []

    def wait() -> None:
        with time_limit(30):
            time.sleep(0.8)
            others.append("done")

    thread = threading.Thread(target=wait)
    thread.start()
    with pytest.raises(TimeoutError), time_limit(0.3):
        loop_for_ever()
    thread.join()
    assert others == ["done"]


def test_code_that_catches_the_interruption_is_interrupted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_limit_module, "_AGAIN_AFTER", 0.3)
    caught = []

    def stubborn() -> None:
        while True:
            try:
                loop_for_ever()
            except TimeoutError:
                caught.append(1)
                if len(caught) == 3:
                    raise

    with pytest.raises(TimeoutError), time_limit(0.3):
        stubborn()
    assert len(caught) == 3
    time.sleep(1.0)  # no interruption is left


def test_a_command_with_a_hostile_template_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from made_conversations import photo

    model = write(tmp_path / "model")
    (model / "chat_template.jinja").write_text("{{ 1 / 0 }}")
    assert main(["score", str(tmp_path / photo(tmp_path, 0)), "--model", str(model)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "chat template" in line]
    assert "fails: division by zero" in line
