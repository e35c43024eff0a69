"""Reads command lines with llama.cpp's own parser and with llama_server.py's table; says where the two differ.

Runs in llama.cpp's environment: `genuine_parser.py FOLDER_OF_LLAMA_SERVER < command lines, JSON`. The wheel has the
parser as a C++ function and no way to it but the symbol, so this knows one build's inside: the place of llama.cpp's
parameters in their Python object, and the server's number among the programs the parser knows.
"""

import ctypes
import json
import sys
from pathlib import Path
from typing import Any

import xllamacpp

sys.path.insert(0, sys.argv[1])
import llama_server

PARSE = "_Z19common_params_parseiPPcR13common_params13llama_examplePFviS0_E"
OFFSET, SERVER = 16, 12
GROUPS = ("CommonParams", "CpuParams")


def genuine(arguments: list[str]) -> Any:
    """llama.cpp's parameters as its own parser sets them."""
    library = ctypes.CDLL(str(next(Path(xllamacpp.__file__).parent.glob("xllamacpp.*so"))))
    parse = getattr(library, PARSE)
    parse.restype = ctypes.c_bool
    parse.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
    params = xllamacpp.CommonParams()
    argv = (ctypes.c_char_p * (len(arguments) + 2))(b"llama-server", *(word.encode() for word in arguments), None)
    assert parse(len(arguments) + 1, argv, id(params) + OFFSET, SERVER, None), arguments
    return params


def flat(group: Any, path: str = "") -> dict[str, str]:
    """All parameters, by path, written out."""
    values: dict[str, str] = {}
    for name in dir(group):
        value = getattr(group, name)
        if name.startswith("_") or callable(value):
            continue
        if type(value).__name__.startswith(GROUPS):
            values |= flat(value, f"{path}{name}.")
        else:
            values[path + name] = repr(value)
    return values


def differences(arguments: list[str]) -> dict[str, tuple[str, str]]:
    """Parameters that differ: the genuine value and ours."""
    theirs, ours = flat(genuine(arguments)), flat(llama_server.parameters(arguments))
    return {path: (value, ours[path]) for path, value in theirs.items() if value != ours[path]}


json.dump([differences(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
