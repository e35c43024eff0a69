"""The report page: one self-contained HTML file that opens with the answer and shows every point behind it."""
