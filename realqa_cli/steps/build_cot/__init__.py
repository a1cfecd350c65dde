"""The step `realqa build-cot`: label records in, training conversations out."""
