"""Names and revisions of the built-in models; a revision is the SHA-256 of weights, tokenizer and config, its first 16 digits."""

NAME = "servegrid-tiny-28m"
REVISION = "75809070d0467580"
DRAFT_NAME = "servegrid-tiny-draft"
DRAFT_REVISION = "4a2ea49e3361e7f6"
