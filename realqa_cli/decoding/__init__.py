"""Exact decoding: probabilities of whole texts from forward passes, never from sampling."""
