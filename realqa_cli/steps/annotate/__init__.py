"""The step `realqa annotate`: photos in, attribute records out, by a paid model and people."""
