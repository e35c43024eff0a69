"""Questions before a sweep: plan and doctor."""
