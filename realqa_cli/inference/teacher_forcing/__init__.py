"""Forward passes over given answers: conversations, tokens, batches, cross-entropy and NCM."""
