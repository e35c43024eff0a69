"""Decode tokens to text, a token at a time."""

from typing import Protocol

REPLACEMENT = "\ufffd"


class Decoder(Protocol):
    """Part of tokenizers.Tokenizer that is needed."""

    def decode(self, ids: list[int], skip_special_tokens: bool = True) -> str:
        """Text of token ids."""
        ...


class Detokenizer:
    """Turns one sequence of tokens into text deltas whose sum is the text of the whole sequence.

    A token can end in the middle of a character (byte-level BPE, byte fallback) and a tokenizer may treat the begin of a
    text specially (a stripped space), so each delta is the difference of two decoded windows: one that begins with the
    tokens of the delta before, and its known part. Text that ends in an unfinished character waits for its end.

    With byte fallback (not with byte-level BPE) the sum differs where a broken character directly follows whole ones
    made of byte tokens: the tokenizer then spoils those too, when they have long been sent.
    """

    def __init__(self, decoder: Decoder):
        self._decoder = decoder
        self._window: list[int] = []
        self._decoded_tokens = 0
        self._decoded_text = ""

    def push(self, token_id: int) -> str:
        """Add a token and return the text that is certain with it and was not before; often empty."""
        self._window.append(token_id)
        text = self._decoder.decode(self._window)
        if text.endswith(REPLACEMENT) or len(text) <= len(self._decoded_text):
            return ""
        return self._advance(text)

    def finish(self) -> str:
        """Text still held back when the sequence ends in an unfinished character."""
        return self._advance(self._decoder.decode(self._window)) if self._window else ""

    def _advance(self, text: str) -> str:
        delta = text[len(self._decoded_text) :]
        self._window = self._window[self._decoded_tokens :]
        self._decoded_tokens = len(self._window)
        self._decoded_text = self._decoder.decode(self._window)
        return delta
