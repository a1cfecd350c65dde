"""The server backend: a model behind an OpenAI-compatible server."""
