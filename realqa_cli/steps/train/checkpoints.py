"""How checkpoints fail: files that are not what they should be when read, and a full disk when written."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from realqa_cli.errors import OutputError, one_line

_WRITE_FAILURES = ("PytorchStreamWriter", "inline_container", "unexpected pos", "No space left", "os error")


def check_checkpoint(folder: Path) -> None:
    """Raises OutputError if the state in a checkpoint is damaged, or holds anything but tensors and numbers.

    Files of torch are pickles: they are read with `weights_only`, which runs no code of theirs.
    """
    import torch
    from transformers.trainer_pt_utils import safe_globals

    for file in sorted(folder.iterdir()):
        try:
            if file.suffix in (".pt", ".pth", ".bin"):
                with safe_globals():
                    torch.load(file, map_location="cpu", weights_only=True, mmap=file.suffix != ".pth")
            elif file.name == "trainer_state.json":
                json.loads(file.read_text(encoding="utf-8"))
        except Exception as error:  # an unpickler raises whatever a damaged file makes it raise
            raise OutputError(
                f"the checkpoint cannot be read: {one_line(str(error).partition(chr(10))[0], 120)}",
                where=str(file),
                remedy="start over with --overwrite, or remove the checkpoint's folder to resume from an earlier one",
            ) from error


@contextmanager
def write_errors(folder: Path, partial: Path) -> Iterator[None]:
    """Turns the errors with which torch and safetensors report a failed write into an OutputError.

    partial: removed on failure, which gives back its space.
    """
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, RuntimeError, SafetensorError) as error:
        text = str(error)
        is_write = isinstance(error, OSError | SafetensorError) or any(sign in text for sign in _WRITE_FAILURES)
        if isinstance(error, OutputError) or not is_write:
            raise
        shutil.rmtree(partial, ignore_errors=True)
        free = shutil.disk_usage(folder).free // 2**20
        raise OutputError(
            f"a checkpoint cannot be written ({free:,} MB free): {one_line(text, 120)}",
            where=str(folder),
            remedy="free some space and run the same command again; it resumes from the last checkpoint",
        ) from error
