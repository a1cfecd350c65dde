"""How items go through a model: opened ahead, batched by size, kept in order."""
