"""The verbs of the pipeline, one folder each. A step is a generator of records."""
