"""Models: the built-in one, the formats engines want, and what tells one model from another."""
