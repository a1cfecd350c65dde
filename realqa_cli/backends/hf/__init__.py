"""The hf backend: models run by transformers in this process."""
