"""What `realqa annotate` is made of: calls paid once, batches, and what people make of the labels."""
