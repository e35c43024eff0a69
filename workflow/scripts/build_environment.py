"""Build an engine's own Python environment from its lock file, with every package checked against its hash."""

import argparse
import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

# Package indexes are often configured for pip only, in its own files; uv, which reads none of them, gets the same settings.
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


def pip_settings(pip_config: str) -> dict[str, str]:
    """pip's settings for an install, by option, from the text of `pip config list`.

    A line is `SECTION.OPTION='VALUE'`; the environment stands over [install], and that over [global].
    """
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}, ":env:": {}}
    for line in pip_config.splitlines():
        section, _, setting = line.partition(".")
        option, _, value = setting.partition("=")
        if section in sections:
            sections[section][option] = str(ast.literal_eval(value))
    return sections["global"] | sections["install"] | sections[":env:"]


def uv_settings(pip: dict[str, str]) -> dict[str, str]:
    """pip's settings as uv's environment variables. All of several indexes are searched, as pip does; hashes decide what fits."""
    settings = {
        PIP_TO_UV[option][0]: PIP_TO_UV[option][1].join(pip[option].split()) for option in PIP_TO_UV if option in pip
    }
    return {"UV_INDEX_STRATEGY": "unsafe-best-match", **settings}


def install(lock: Path, python: Path) -> None:
    """Install the packages of a lock file into an environment. The user's own settings of uv override those of pip."""
    pip_config = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    )
    settings = uv_settings(pip_settings(pip_config.stdout))
    options = ["--no-deps", "--require-hashes", "--no-progress", "-r", lock]
    command = [sys.executable, "-m", "uv", "pip", "install", "--python", python, *options]
    subprocess.run(command, check=True, env=settings | os.environ)


def compile_all(python: Path) -> None:
    """Compile all modules now, so that no launch does it. Errors in templates that are no Python are printed and ignored."""
    library = python.parent.parent / "lib"
    subprocess.run([python, "-m", "compileall", "-q", "-j", "0", library], check=False)


def main() -> None:
    """Read the arguments and build. `--out` removes the rest of an earlier build, `--into` adds to an existing environment."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="folder of the new environment")
    target.add_argument("--into", type=Path, help="folder of an environment that is there")
    arguments = parser.parse_args()
    folder: Path = arguments.out or arguments.into
    if arguments.out:
        shutil.rmtree(folder, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    install(arguments.lock, folder / "bin" / "python")
    compile_all(folder / "bin" / "python")


if __name__ == "__main__":
    main()
