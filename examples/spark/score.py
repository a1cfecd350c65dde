"""Score the photos of a table on a Spark cluster: `mapInPandas` over the Python API.

The input is any table that Spark reads and that has a column with paths or URLs of photos. The output is a Parquet
table with the input's columns, then score, std, interval_low, interval_high, content, run and error. Photos that cannot
be scored have an error and no score.

    spark-submit --conf spark.task.cpus=4 examples/spark/score.py photos.parquet scores.parquet

Each Python worker loads the model once and keeps it for all its partitions. With GPUs, let Spark give each task one:
`spark.task.resource.gpu.amount=1`.
"""

import argparse
from pathlib import Path

from pyspark.sql import SparkSession
from scoring import with_scores


def main() -> None:
    """Reads the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", help="Parquet table with a column of paths or URLs")
    parser.add_argument("scores", help="Parquet table to write; it must not exist")
    parser.add_argument("--column", default="image")
    parser.add_argument("--model", default="realqa-tiny")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--batch", type=int, default=256, help="rows that a Python worker gets at a time")
    given = parser.parse_args()
    builder = SparkSession.builder.appName("realqa")
    spark = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", given.batch).getOrCreate()
    spark.sparkContext.addPyFile(str(Path(__file__).with_name("scoring.py")))
    photos = spark.read.parquet(given.photos)
    with_scores(photos, given.column, given.model, given.backend).write.parquet(given.scores)
    spark.stop()


if __name__ == "__main__":
    main()
