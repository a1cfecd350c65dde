"""The step `realqa calibrate`: from the model's scores to a user's own scale, with intervals that hold."""
