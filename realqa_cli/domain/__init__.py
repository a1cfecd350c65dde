"""Vocabulary and numbers of the method: no torch, no files."""
