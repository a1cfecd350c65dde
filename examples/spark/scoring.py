"""The function of `score.py` that the Python workers of Spark run; a module of its own, so that it keeps its model."""

import os
from collections.abc import Iterator
from functools import cache, partial
from typing import Any

import pandas as pd
from pyspark import TaskContext
from pyspark.sql import DataFrame
from pyspark.sql.types import DoubleType, StringType, StructField, StructType

from realqa_cli import Scorer

ADDED = StructType(
    [
        *(StructField(name, DoubleType()) for name in ("score", "std", "interval_low", "interval_high")),
        *(StructField(name, StringType()) for name in ("content", "run", "error")),
    ]
)


@cache
def scorer(model: str, backend: str) -> Scorer:
    """The model, loaded once in a Python worker; on the GPU that Spark gave to the task, if it gave one."""
    context = TaskContext.get()
    gpus = context.resources().get("gpu") if context is not None else None
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(gpus.addresses)
    return Scorer(model, backend=backend)


def score_batches(batches: Iterator[pd.DataFrame], *, column: str, model: str, backend: str) -> Iterator[pd.DataFrame]:
    """The rows of each batch with the columns of `ADDED`."""
    for batch in batches:
        records = scorer(model, backend).score(list(batch[column]))
        yield batch.assign(**{field.name: [_value(record, field.name) for record in records] for field in ADDED})


def _value(record: dict[str, Any], name: str) -> float | str | None:
    if name == "error":
        return None if record["error"] is None else f"{record['error']['type']}: {record['error']['message']}"
    low, high = record["interval"] or (None, None)
    value: float | str | None = {"interval_low": low, "interval_high": high}.get(name, record.get(name))
    return value


def with_scores(
    photos: DataFrame, column: str = "image", model: str = "realqa-tiny", backend: str = "auto"
) -> DataFrame:
    """The table with scores, computed where it is used."""
    schema = StructType([*photos.schema.fields, *ADDED.fields])
    return photos.mapInPandas(partial(score_batches, column=column, model=model, backend=backend), schema)
