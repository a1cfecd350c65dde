"""The step `realqa split`: divides records or conversations into a training set and a held-out set."""
