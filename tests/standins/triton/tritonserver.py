"""A genuine tritonserver, from the nvidia-pytriton wheel, with a backend `vllm` that needs no vLLM (see vllm/model.py).

Run with the Python of the environment of envs/triton.txt, it takes tritonserver's own command line. Only the folder of backends, made
beside the repository, is its own: the wheel's Python backend with the stub for this Python, and beside it the backend `vllm`, a folder with a model.py as in
the image. `--endings empty` has that backend end its streams as plain decoupled models do, by an empty final response.
"""

import os
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
SPEC = find_spec("pytriton")  # not imported: that needs all its clients
assert SPEC and SPEC.origin, "run this with the Python of the environment of envs/triton.txt"
WHEEL = Path(SPEC.origin).parent / "tritonserver"


def backends(folder: Path) -> Path:
    """Fill the folder with the backends `python` and `vllm`."""
    stub = WHEEL / "python_backend_stubs" / f"{sys.version_info.major}.{sys.version_info.minor}"
    (folder / "python").mkdir(parents=True)
    for path in [*(WHEEL / "backends" / "python").iterdir(), *stub.iterdir()]:
        if path.is_file():
            shutil.copy(path, folder / "python")  # a link out of the folder is refused
    shutil.copytree(HERE / "vllm", folder / "vllm")
    return folder


def main() -> None:
    """Become tritonserver."""
    arguments = sys.argv[1:]
    if "--endings" in arguments:
        at = arguments.index("--endings")
        os.environ["SERVEGRID_ENDINGS"] = arguments[at + 1]
        del arguments[at : at + 2]
    # the stub is to load the libpython that this Python has, and this environment's packages
    libraries = [sysconfig.get_config_var("LIBDIR"), str(WHEEL.parents[1] / "nvidia_pytriton.libs")]
    os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([*libraries, os.environ.get("LD_LIBRARY_PATH", "")]).rstrip(":")
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    os.environ["PYTHONPATH"] = str(WHEEL.parents[1])
    repository = next(word for word in arguments if word.startswith("--model-repository=")).partition("=")[2]
    beside = Path(repository).with_name("backends")
    shutil.rmtree(beside, ignore_errors=True)
    os.execv(WHEEL / "bin" / "tritonserver", ["tritonserver", f"--backend-directory={backends(beside)}", *arguments])


if __name__ == "__main__":
    main()
