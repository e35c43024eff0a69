"""The built-in model, conversion of checkpoints to the formats of engines, and the identity of a model on disk."""
