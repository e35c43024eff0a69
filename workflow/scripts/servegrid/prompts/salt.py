"""Salts: short texts in front of prompts, so that a server that keeps prompts has never seen them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from string import ascii_lowercase

from servegrid.prompts.files import Prompt
from servegrid.util.identity import digest

LETTERS = 8
"""Letters of a salt, of which there are 26**8. Tokenizers make as many tokens of one letter after a space as of any other, so all
salts are of one length."""
IN_PROMPT_ID = f"@[a-z]{{{LETTERS}}}$"
"""Regular expression of what a salt adds to a prompt's id."""
MOST_TOKENS = 2 * LETTERS + 1
"""Tokens of a salt with its line's end, at most: spaces may be tokens of their own."""


def salted(prompt: Prompt, *place: object) -> Prompt:
    """The prompt behind the salt of a place, which texts and numbers name; another prompt, so its id has the salt's letters too."""
    number = int(digest(place, 16), 16)
    letters = [ascii_lowercase[number // 26**position % 26] for position in range(LETTERS)]
    return replace(prompt, id=f"{prompt.id}@{''.join(letters)}", text=f"{' '.join(letters)}\n{prompt.text}")


class SaltedPrompts:
    """The prompts of a load, round and round: no text stands behind the same salt twice, others behind it share what they have in common."""

    def __init__(self, prompts: Sequence[Prompt], *place: object) -> None:
        """Take the prompts of one round, and what names the place where they are sent."""
        self._prompts, self._place = prompts, place
        self._times: Counter[str] = Counter()
        self._earlier: list[int] = []  # how often the text of each stands before it
        for prompt in prompts:
            self._earlier.append(self._times[prompt.text])
            self._times[prompt.text] += 1

    def prompt(self, number: int) -> Prompt:
        """Prompt of the request with this number, counted from 0."""
        round_number, index = divmod(number, len(self._prompts))
        prompt = self._prompts[index]
        visit = round_number * self._times[prompt.text] + self._earlier[index]
        return salted(prompt, *self._place, visit)
