"""The step `realqa ncm`: the numerical continuity metric of a model, or of the log of a training run."""
