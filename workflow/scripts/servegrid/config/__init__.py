"""The config: its schema (unknown keys are refused, every key is described), parsing and error messages."""

from servegrid.config.errors import ConfigError
from servegrid.config.models import Config
from servegrid.config.parse import load_config, parse_config
from servegrid.config.serving import Device, EngineConfig

__all__ = ["Config", "ConfigError", "Device", "EngineConfig", "load_config", "parse_config"]
