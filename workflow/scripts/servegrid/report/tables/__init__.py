"""Tables of points and of claims, in every format."""
