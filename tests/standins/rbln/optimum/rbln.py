"""Stands in for optimum-rbln 0.12.0 where there is no rebel-compiler: what transformers/models/auto/auto_factory.py takes, written down.

Of a compiled folder it leaves what tells one, as modeling_base.py does: rbln_config.json and a *.rbln file.
"""

import json
from pathlib import Path
from typing import Any


class RBLNAutoModelForCausalLM:
    def __init__(self, config: dict[str, Any]) -> None:
        self._config = config

    @classmethod
    def from_pretrained(
        cls, model_id: str, export: bool | None = None, rbln_config: dict[str, Any] | None = None
    ) -> "RBLNAutoModelForCausalLM":
        assert export and (Path(model_id) / "config.json").exists()
        return cls(dict(rbln_config or {}))

    def save_pretrained(self, folder: str) -> None:
        Path(folder).mkdir(parents=True)
        (Path(folder) / "rbln_config.json").write_text(json.dumps(self._config))
        (Path(folder) / "prefill.rbln").write_bytes(b"")
        (Path(folder) / "config.json").write_text("{}")
