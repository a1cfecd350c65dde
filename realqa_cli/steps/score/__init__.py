"""The step `realqa score`: photos and videos in, score records out."""
