"""The step `realqa self-label`: photos in, attribute records out, by a local model."""
