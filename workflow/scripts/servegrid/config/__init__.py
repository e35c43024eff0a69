"""The config: closed, typed, every key described; errors name the key, the value and what is allowed."""

from servegrid.config.errors import ConfigError
from servegrid.config.models import Config
from servegrid.config.parse import load_config, parse_config
from servegrid.config.serving import Device, EngineConfig

__all__ = ["Config", "ConfigError", "Device", "EngineConfig", "load_config", "parse_config"]
