"""The step `realqa rank`: near-duplicates and bursts in groups, the order in them and over all."""
