"""The step `realqa compare`: pairs of photos in, one record for each pair out."""
