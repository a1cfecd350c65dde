"""The step `realqa train`: trains a scorer on conversations and writes a model folder."""
