"""The step `realqa eval`: predictions in, one record per metric out."""
