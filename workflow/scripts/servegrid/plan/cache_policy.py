"""Whether a load's prompts meet what the server kept of them: decided before anything is measured."""

from typing import Literal

from servegrid import engines
from servegrid.config.measuring import LoadConfig
from servegrid.engines.base import ServerSpec

Policy = Literal["cold (off)", "cold (salt)", "warm"]


def cache_policy(spec: ServerSpec, options: LoadConfig) -> Policy:
    """How the load of this server is cold, since the server keeps nothing or by salted prompts; or that it is warm."""
    if options.cache == "warm":
        return "warm"
    return "cold (salt)" if engines.get(spec.engine).keeps_prompts(spec) else "cold (off)"


def unsupported(spec: ServerSpec, options: LoadConfig) -> str | None:
    """Why a load of this server cannot be warm; None if it can, or is to be cold."""
    if options.cache != "warm" or engines.get(spec.engine).keeps_prompts(spec):
        return None
    return "no load is warm on a server that keeps no prompts: load.cache = warm goes with server.prefix_cache = true"
