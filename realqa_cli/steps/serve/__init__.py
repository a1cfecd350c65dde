"""The step `realqa serve`: photos in by HTTP, the records of `realqa score` and `realqa self-label` out."""
