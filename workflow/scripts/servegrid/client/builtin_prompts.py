"""A few built-in prompts, so that a load can be run without a prompt file."""

from servegrid.prompts.files import Prompt

TEXTS = (
    "Explain to a ten-year-old why the sky is blue, in a few sentences.",
    "Write a short story about a lighthouse keeper who finds a message in a bottle.",
    "List the steps to change the tyre of a bicycle, with one sentence about each.",
    "Summarise how a steam engine turns heat into motion.",
    "Write a polite letter that declines an invitation to a wedding.",
    "Describe a street market in the early morning, with its sounds and smells.",
    "What is the difference between weather and climate? Give two examples.",
    "Write a Python function that merges two sorted lists, and explain how it works.",
    "Tell the history of the printing press in five sentences.",
    "Plan a three-day walk along a coast, with a meal for every evening.",
    "Compare trains and aeroplanes for a journey of eight hundred kilometres.",
    "Write a dialogue between a clock and a calendar about time.",
    "Explain how vaccines teach the body to defend itself.",
    "Give advice to somebody who plants a vegetable garden for the first time.",
    "Describe how a violin is made, from the tree to the first note.",
    "Write a news report about the opening of a small library.",
)


def builtin_prompts() -> list[Prompt]:
    """The built-in prompts, in order."""
    return [Prompt(f"built-in-{number}", text) for number, text in enumerate(TEXTS, 1)]
