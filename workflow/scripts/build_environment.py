"""Build an engine's own Python environment from its lock file, with every package checked against its hash."""

import argparse
import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Where packages come from is often said to pip alone, in its own files: uv, which reads none of them, is told the same.
PIP_TO_UV = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "no-index": ("UV_NO_INDEX", " "),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
    "proxy": ("ALL_PROXY", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
}


def pip_settings(listed: str) -> dict[str, str]:
    """pip's settings that hold for an install, by option, out of the text of `pip config list`.

    A line is `SECTION.OPTION='VALUE'`; the environment stands over [install], and that over [global].
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in listed.splitlines():
        section, _, setting = line.partition(".")
        option, _, value = setting.partition("=")
        if section in sections:
            sections[section][option] = str(ast.literal_eval(value))
    return sections["global"] | sections["install"] | sections[":env:"]


def uv_settings(pip: dict[str, str]) -> dict[str, str]:
    """pip's settings as uv's environment variables. Of several indexes all are looked at, as pip does: hashes tell what is meant."""
    said = {
        PIP_TO_UV[option][0]: PIP_TO_UV[option][1].join(pip[option].split()) for option in PIP_TO_UV if option in pip
    }
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **said}


def install(lock: Path, python: Path) -> None:
    """Fills an environment with what a lock file names. What the user says to uv itself stands over what is said to pip."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True)
    settings = uv_settings(pip_settings(listed.stdout))
    how = ["--no-deps", "--require-hashes", "--no-progress", "-r", lock]
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", python, *how]
    subprocess.run(command, check=True, env=settings | os.environ)


def main() -> None:
    """Read the arguments and build; a half-built environment is removed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", arguments.out], check=True)
    python = arguments.out / "bin" / "python"
    install(arguments.lock, python)
    # Now, so that no launch's start-up time has it. Templates in packages that are no Python are complained of, and left.
    subprocess.run([python, "-m", "compileall", "-q", "-j", "0", arguments.out / "lib"], check=False)


if __name__ == "__main__":
    main()
