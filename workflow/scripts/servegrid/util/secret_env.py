"""Keep secrets out of records, plans and logs: the name of the environment variable is written in place of its value."""

import re
import shlex
from collections.abc import Mapping

REFERENCE = re.compile(r"\$\{(\w+)\}")
_SECRET = re.compile(r"(^|_)(KEY|TOKEN|SECRET|PASSWORD|PASS|CREDENTIALS?)($|_)", re.IGNORECASE)


def is_secret(variable: str) -> bool:
    """Whether an environment variable holds a secret, by its name (HF_TOKEN, LLAMA_API_KEY)."""
    return bool(_SECRET.search(variable))


def secret_variable(variable: str, value: str | None) -> str:
    """Name of the shell variable that holds this secret: NAME of a value `${NAME}`, else the variable itself."""
    match = REFERENCE.fullmatch(value or "")
    return match[1] if match else variable


def shell_assignment(variable: str, value: str) -> str:
    """Shell text `NAME=value`; a secret is a reference to the variable that holds it."""
    return (
        f'{variable}="${secret_variable(variable, value)}"'
        if is_secret(variable)
        else f"{variable}={shlex.quote(value)}"
    )


def redacted(environment: Mapping[str, str]) -> dict[str, str]:
    """Environment with every secret replaced by a reference to its variable: `{"HF_TOKEN": "${HF_TOKEN}"}`."""
    return {
        name: f"${{{secret_variable(name, value)}}}" if is_secret(name) else value
        for name, value in environment.items()
    }
