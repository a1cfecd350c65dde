"""The step `realqa sort-probe`: how well a model sorts decimals."""
