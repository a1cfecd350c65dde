"""The step `realqa explain`: what moved the score of one photo."""
