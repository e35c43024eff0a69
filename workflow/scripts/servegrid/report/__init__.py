"""From the result tables and raw sessions to tables, figures, verdicts and the page: pure functions of files."""
