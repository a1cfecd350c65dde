"""Peak memory of `realqa score` with a model of Qwen2-VL-2B's dimensions in bfloat16, loaded from shards of 2 GB.

    python -m benchmarks.load_memory              makes the model in a temporary folder (4.9 GB) and removes it
    python -m benchmarks.load_memory --folder F   makes it in F if it is not there, and keeps it

The weights are arbitrary: memory does not depend on them. The figure is the largest resident memory of the process
(pages of the mapped weights included) as a multiple of the bytes of the weights. Linux only.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.large_model import TEXT, VISION
from realqa_cli import models

PHOTO = Path(__file__).resolve().parent.parent / "examples" / "photos" / "bee.jpg"
SHARD = "2GB"


def make_model(folder: Path) -> None:
    """Writes a model folder with weights in bfloat16; tokenizer and image processor are the bundled model's."""
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText
    from transformers.initialization import no_init_weights

    source = models.path("realqa-tiny")
    tiny: Any = AutoConfig.from_pretrained(source)
    ids = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ends = {name: getattr(tiny.text_config, name) for name in ("eos_token_id", "pad_token_id")}
    config = AutoConfig.for_model(
        "qwen2_vl",
        text_config={**TEXT, **ends, "bos_token_id": None},
        vision_config=VISION,
        tie_word_embeddings=True,
        **{name: getattr(tiny, name) for name in ids},
    )
    with no_init_weights():
        model: Any = AutoModelForImageTextToText.from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        for weight in model.parameters():
            weight.fill_(0.001)
    model.save_pretrained(folder, max_shard_size=SHARD)
    for file in source.iterdir():
        if file.suffix in {".json", ".jinja"} and file.name != "config.json":
            shutil.copy(file, folder / file.name)


def peak_memory(folder: Path) -> int:
    """The largest resident memory in bytes of a process that scores one photo."""
    call = [sys.executable, "-m", "realqa_cli", "score", str(PHOTO), "--model", str(folder), "--dtype", "bfloat16"]
    call += ["--max-pixels", "30000", "--json"]
    process = subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                peak = max(peak, int(line.split()[1]) * 1024)
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(f"realqa score ended with {process.returncode}")
    return peak


def measure(folder: Path) -> str:
    """One line with the ratio."""
    if not (folder / "config.json").is_file():
        make_model(folder)
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    peak = peak_memory(folder)
    shards = len([*folder.glob("*.safetensors")])
    return f"weights {weights / 1e9:.2f} GB in {shards} shards, peak {peak / 1e9:.2f} GB: {peak / weights:.2f}"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep the model here")
    folder = parser.parse_args().folder
    with tempfile.TemporaryDirectory() as temporary:
        print(measure(folder or Path(temporary)))


if __name__ == "__main__":
    main()
