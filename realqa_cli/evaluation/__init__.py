"""The parts of `realqa eval`: rows of predictions, the table of attributes, the scatter plot."""
