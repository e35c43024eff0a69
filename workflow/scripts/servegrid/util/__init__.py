"""What any part may use: files, text, hashes, secrets, processes."""
