"""What the rows say: claims, recommendation, questions."""
