"""Everything that is said of speed, measured side by side: `make bench`, or `python -m benchmarks --help`."""
