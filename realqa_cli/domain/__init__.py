"""The vocabulary and the numbers of the method: no torch, no files."""
