"""Training objectives: next-token prediction, regression, levels."""
