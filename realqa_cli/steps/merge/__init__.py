"""The step `realqa merge`: one file of the outputs of several runs."""
