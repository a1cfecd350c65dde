"""The step `realqa ncm`: the Numerical Continuity Metric of a model or of a training log."""
