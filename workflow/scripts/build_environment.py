"""Build an engine's own Python environment from its lock file, with every package checked against its hash."""

import argparse
import shutil
import subprocess
import sys
from pathlib import Path


def main() -> None:
    """Read the arguments and build; a half-built environment is removed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lock", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    shutil.rmtree(arguments.out, ignore_errors=True)
    # Without a pip of its own the environment is there in a moment; the harness's pip fills it.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", arguments.out], check=True)
    pip = [sys.executable, "-m", "pip", "--python", str(arguments.out / "bin" / "python")]
    install = [
        "install",
        "--no-deps",
        "--require-hashes",
        "--no-compile",
        "--no-input",
        "--disable-pip-version-check",
        "-r",
        arguments.lock,
    ]
    subprocess.run([*pip, *install], check=True)
    # On all processors, which pip does not do; and now, so that no launch's start-up time has it. Templates in packages that are no
    # Python are complained of, and left.
    python = arguments.out / "bin" / "python"
    subprocess.run([python, "-m", "compileall", "-q", "-j", "0", arguments.out / "lib"], check=False)


if __name__ == "__main__":
    main()
