"""Models that answer prompts: one interface (base.py) and its implementations."""
