"""One forward pass over true answers: conversations, tokens, batches, cross-entropy and NCM."""
