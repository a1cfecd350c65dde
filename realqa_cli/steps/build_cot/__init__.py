"""The step `realqa build-cot`: training conversations from label records."""
