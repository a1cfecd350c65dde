"""How much each attribute weighs: partial least squares, the file of weights, and their picture."""
