"""What training writes works without realqa, and failures of the disk and of checkpoints are one line."""

import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from made_conversations import write_direct
from process import environment
from small_models import write
from small_training import _one_thread, settings  # noqa: F401  (pytest finds the fixture by its name)

from realqa_cli import Scorer
from realqa_cli.domain import prompts
from realqa_cli.domain.numerals import numerals
from realqa_cli.errors import OutputError
from realqa_cli.media.photo import open_photo
from realqa_cli.steps.train.progress import TrainProgress
from realqa_cli.steps.train.train import train


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("models") / "base")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_direct(tmp_path_factory.mktemp("data"), 6)


def score_without_realqa(folder: Path, photo: Path) -> float:
    """The expected score by plain transformers and PEFT, from what the folder says."""
    from peft import PeftModel
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    if (folder / "adapter_config.json").exists():
        name = json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"]
        model: Any = PeftModel.from_pretrained(AutoModelForImageTextToText.from_pretrained(name), str(folder))
    else:
        model = AutoModelForImageTextToText.from_pretrained(folder)
    words: Any = AutoTokenizer.from_pretrained(folder)
    images: Any = AutoImageProcessor.from_pretrained(folder, backend="pil")
    pixels = images(images=[open_photo(photo)], return_tensors="pt")
    content = [{"type": "image"}, {"type": "text", "text": prompts.DIRECT_QUESTION}]
    text = words.apply_chat_template([{"role": "user", "content": content}], tokenize=False, add_generation_prompt=True)
    count = int(pixels["image_grid_thw"].prod()) // images.merge_size**2
    text = text.replace("<|image_pad|>", "<|image_pad|>" * count) + prompts.DIRECT_PREFIX

    def log_probs(more: str) -> torch.Tensor:
        ids = torch.tensor([words(text + more, add_special_tokens=False)["input_ids"]])
        types = (ids == words.convert_tokens_to_ids("<|image_pad|>")).int()
        with torch.inference_mode():
            logits = model.eval()(input_ids=ids, mm_token_type_ids=types, **pixels).logits
        found: torch.Tensor = logits[0, -1].double().log_softmax(-1)
        return found

    digit = {c: words(c, add_special_tokens=False)["input_ids"][0] for c in "0123456789."}
    memo: dict[str, torch.Tensor] = {}
    texts = numerals(3, 1, 5)
    totals = []
    for numeral in texts:
        total = 0.0
        for i, c in enumerate(numeral):
            if numeral[:i] not in memo:
                memo[numeral[:i]] = log_probs(numeral[:i])
            total += float(memo[numeral[:i]][digit[c]])
        totals.append(total)
    shares = np.exp(np.array(totals) - np.logaddexp.reduce(totals))
    return float(shares @ np.array([float(numeral) for numeral in texts]))


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT calls what transformers deprecates
@pytest.mark.parametrize("tuning", ["lora", "full"])
def test_plain_transformers_scores_the_same_from_the_folder_alone(
    tuning: str, base: Path, data: Path, tmp_path: Path
) -> None:
    how = settings(base, tuning=tuning, max_steps=3, learning_rate=1e-2)
    train([data], tmp_path / "run", how)
    names = {"preprocessor_config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}
    assert names <= {file.name for file in (tmp_path / "run").iterdir()}
    photo = data.parent / "4.png"
    (record,) = Scorer(str(tmp_path / "run")).score([photo])
    assert score_without_realqa(tmp_path / "run", photo) == pytest.approx(record["score"], abs=1e-4)


@pytest.mark.parametrize("more", [{}, {"min_pixels": 3136, "max_pixels": 7056}])
def test_pixel_bounds_are_those_of_the_base_unless_given(
    more: dict[str, int], base: Path, data: Path, tmp_path: Path
) -> None:
    how = settings(base, **{"max_steps": 1, "min_pixels": None, "max_pixels": None, **more})
    train([data], tmp_path / "run", how)
    low, high = more.get("min_pixels", 56 * 56), more.get("max_pixels", 140 * 140)
    folder = tmp_path / "run"
    assert json.loads((folder / "preprocessor_config.json").read_text())["size"] == {
        "shortest_edge": low,
        "longest_edge": high,
    }
    config = json.loads((folder / "realqa.json").read_text())
    effective = json.loads((folder / "train.run.json").read_text())["effective"]
    for stated in (config, effective):
        assert (stated["min_pixels"], stated["max_pixels"]) == (low, high)
    assert (effective["scale"], effective["digits"], effective["epochs"]) == ([1, 5], 3, 2)


def interrupted(base: Path, data: Path, folder: Path) -> Any:
    """A run that was interrupted after its checkpoint of step 2; returns its settings."""
    how = settings(base, max_steps=4, save_steps=2, lora_rank=2)

    def stop(record: Any, steps: int) -> None:
        if record["step"] == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train([data], folder, how, progress=TrainProgress(on_step=stop))
    return how


class Bomb:
    def __reduce__(self) -> Any:
        return (exec, ("open('/tmp/realqa-bomb', 'w')",))


@pytest.mark.parametrize("name", ["optimizer.pt", "scheduler.pt", "rng_state.pth"])
@pytest.mark.parametrize("content", ["pickle", pytest.param("cut", marks=pytest.mark.slow)])
def test_a_checkpoint_that_is_not_tensors_is_refused(
    name: str, content: str, base: Path, data: Path, tmp_path: Path
) -> None:
    how = interrupted(base, data, tmp_path / "run")
    file = tmp_path / "run" / "checkpoint-2" / name
    file.write_bytes(pickle.dumps(Bomb()) if content == "pickle" else file.read_bytes()[:100])
    with pytest.raises(OutputError, match=rf"checkpoint-2/{name}: the checkpoint cannot be read: .*--overwrite"):
        train([data], tmp_path / "run", how)
    assert not Path("/tmp/realqa-bomb").exists()
    shutil.rmtree(tmp_path / "run" / "checkpoint-2")
    assert train([data], tmp_path / "run", how)["steps"] == 4, "the remedy works"


@pytest.mark.slow
def test_a_disk_that_takes_no_more_is_one_line(base: Path, data: Path, tmp_path: Path) -> None:
    given = ["train", str(data), "--model", str(base), "--device", "cpu", "--max-steps", "4", "--save-steps", "2"]
    given += ["--tuning", "full", "--min-pixels", "3136", "--max-pixels", "7056", "-o", str(tmp_path / "run")]
    limit = 60_000  # bytes of a file; the weights take more, the log less
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
        "from realqa_cli.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, *given], env=environment(OMP_NUM_THREADS="1"), capture_output=True, text=True
    )
    assert ran.returncode == 2, ran.stderr
    line = ran.stderr.splitlines()[-1]
    assert "a checkpoint cannot be written" in line
    assert "Traceback" not in ran.stderr
    assert not [*(tmp_path / "run").glob("checkpoint-*")]
    assert "2 steps" not in ran.stderr
