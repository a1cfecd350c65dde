"""Records and files: JSON Lines, tables, manifests, sources, and how files fail and are resumed."""
