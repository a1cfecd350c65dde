"""The step `realqa doctor`: checks of the installation and of a model, before a run depends on them."""
