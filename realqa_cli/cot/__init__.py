"""The parts of `realqa build-cot`: the number as it is written, and the chain of thought in prose."""
