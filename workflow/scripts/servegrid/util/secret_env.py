"""Secrets never reach a record, a plan or a log: where one stood, its variable's name stands."""

import re
import shlex
from collections.abc import Mapping

REFERENCE = re.compile(r"\$\{(\w+)\}")
_SECRET = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD|PASS|CREDENTIALS?)($|_)", re.IGNORECASE)


def is_secret(variable: str) -> bool:
    """Whether an environment variable holds a secret, by its name (HF_TOKEN, LLAMA_API_KEY)."""
    return bool(_SECRET.search(variable))


def reference(variable: str, value: str | None) -> str:
    """The variable of the shell that holds this secret: the one that a value `${NAME}` names, else the one of the same name."""
    named = REFERENCE.fullmatch(value or "")
    return named[1] if named else variable


def assignment(variable: str, value: str) -> str:
    """`NAME=value` for a shell; a secret is taken from the variable that holds it."""
    return f'{variable}="${reference(variable, value)}"' if is_secret(variable) else f"{variable}={shlex.quote(value)}"


def hidden(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables with every secret replaced by a reference to where it is: `{"HF_TOKEN": "${HF_TOKEN}"}`."""
    return {name: f"${{{reference(name, value)}}}" if is_secret(name) else value for name, value in environment.items()}
