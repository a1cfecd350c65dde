"""The step `realqa train`: conversations in, a model folder out."""
