"""The report page: one HTML file that needs nothing else, opens with the answer, and shows every point behind it."""
