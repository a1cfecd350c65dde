"""The step `realqa composite`: one score from attributes, fitted to feedback by partial least squares."""
