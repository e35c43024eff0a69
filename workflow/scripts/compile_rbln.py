"""Compile a Hugging Face checkpoint for Rebellions' NPUs with optimum-rbln (0.12): batch, length and number of NPUs are fixed by it.

Runs with the Python of an environment that has optimum-rbln and Rebellions' compiler (rebel-compiler, from their own index). No NPU has
to be there: nothing is run. Needs nothing else of servegrid.
"""

import argparse
import shutil
from pathlib import Path


def main() -> None:
    """Read the arguments and compile the checkpoint."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, required=True, help="folder with a Hugging Face checkpoint")
    parser.add_argument("--batch", type=int, required=True, help="requests at once")
    parser.add_argument("--length", type=int, required=True, help="longest prompt plus output, in tokens")
    parser.add_argument("--devices", type=int, required=True, help="NPUs that the model is spread over")
    parser.add_argument("--out", type=Path, required=True, help="the compiled folder")
    arguments = parser.parse_args()
    try:
        from optimum.rbln import RBLNAutoModelForCausalLM
    except ImportError as error:
        raise SystemExit(
            f"compile_rbln: {error}; name a Python that has optimum-rbln and rebel-compiler in RBLN_PYTHON"
        ) from None
    sizes = {"batch_size": arguments.batch, "max_seq_len": arguments.length, "num_devices": arguments.devices}
    model = RBLNAutoModelForCausalLM.from_pretrained(
        str(arguments.checkpoint), export=True, rbln_config={**sizes, "create_runtimes": False}
    )
    model.save_pretrained(str(arguments.out))
    for path in arguments.checkpoint.iterdir():  # vLLM looks for the tokenizer in the compiled folder
        is_small = path.suffix in (".json", ".txt", ".model", ".jinja") and not path.name.endswith(".index.json")
        if is_small and not (arguments.out / path.name).exists():
            shutil.copy(path, arguments.out)


if __name__ == "__main__":
    main()
