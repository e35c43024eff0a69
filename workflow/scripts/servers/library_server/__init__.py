"""A small OpenAI-compatible HTTP server in front of engines that are Python libraries.

Run by its folder, in the engine's own environment: `python library_server --backend ctranslate2 --model DIR`. Needs
starlette, uvicorn and tokenizers besides the engine; imports nothing else of this project.

Batching policy, which is part of what a benchmark of such an engine measures (also reported by /version): see `scheduler`.
"""
