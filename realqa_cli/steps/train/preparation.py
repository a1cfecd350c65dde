"""Checks everything that a training run will need, before the first step: photos, texts, lengths of rows.

The main process does this once for all processes of a distributed run, in parallel.
"""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from torch.utils.data import DataLoader

from realqa_cli.errors import MediaError, UsageError
from realqa_cli.inference.teacher_forcing.conversations import Conversation
from realqa_cli.media.decode import DecodeOptions
from realqa_cli.media.photo import open_photo
from realqa_cli.steps.train.objectives.objective import Objective
from realqa_cli.steps.train.progress import TrainProgress

_PARALLEL_FROM = 4096
"""Conversations from which on tokenising in several processes is worth starting them."""
_CHUNK = 64
_MAX_PROCESSES = 8


def check_photos(conversations: Sequence[Conversation], progress: TrainProgress) -> dict[str, str]:
    """Decode every photo once; return the error message of each that cannot be decoded, by path."""
    photos = {path: conversation.decode for conversation in conversations for path in conversation.images}
    progress.stage("checking photos", len(photos))
    bad = {}
    with ThreadPoolExecutor(min(32, os.cpu_count() or 1)) as threads:
        for path, error in zip(photos, threads.map(_error_of, photos, photos.values()), strict=True):
            if error is not None:
                bad[str(path)] = error
            progress.advance()
    return bad


def row_lengths(objective: Objective, conversations: Sequence[Conversation], progress: TrainProgress) -> list[int]:
    """Tokenise and validate every conversation; return the tokens of each, every photo counted as one.

    Raises UsageError with file and line.
    """
    progress.stage("preparing conversations", len(conversations))
    processes = min(_MAX_PROCESSES, os.cpu_count() or 1) if len(conversations) >= _PARALLEL_FROM else 0
    if processes:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # else tokenizers warns in each forked process
    loader: DataLoader[Any] = DataLoader(
        cast(Any, conversations), batch_size=_CHUNK, num_workers=processes, collate_fn=_LengthChecker(objective)
    )
    lengths: list[int] = []
    for part in loader:
        if isinstance(part, UsageError):
            raise part
        lengths += part
        for _ in part:
            progress.advance()
    return lengths


class _LengthChecker:
    """Checks a chunk of conversations; returns a UsageError, which would leave a process as a traceback."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective

    def __call__(self, conversations: Sequence[Conversation]) -> list[int] | UsageError:
        try:
            return self.objective.check(conversations)
        except UsageError as error:
            return error


def _error_of(path: Path, options: DecodeOptions) -> str | None:
    try:
        open_photo(path, options=options)
    except MediaError as error:
        return str(error)
    return None
