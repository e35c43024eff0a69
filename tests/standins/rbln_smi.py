"""What rbln-smi answers about one idle NPU, as of its version in the answer."""

from typing import Any

PCI = {"dev": "0x1220", "bus_id": "0000:51:00.0", "numa_node": "0", "link_speed": "16.0GT/s PCIe", "link_width": "8"}
DEVICE: dict[str, Any] = {
    "npu": "0",
    "name": "RBLN-CA22",
    "sid": "ABC123",
    "uuid": "0f0f0f0f-0000-0000-0000-000000000000",
    "device": "rbln0",
    "status": "normal",
    "fw_ver": "1.2.3",
    "pci": PCI,
    "temperature": "38C",
    "card_power": "43.9W",
    "pstate": "P2",
    "memory": {"used": "1024MiB", "total": "16384MiB"},
    "util": "98.7",
    "board_info": "v1.0",
    "location": 0,
}
CONTEXT = {"ctx_id": "1", "npu": "rbln0", "pid": 4242, "cmd": "/usr/bin/python serve.py", "memory": "512MiB"}
ANSWER: dict[str, Any] = {"KMD_version": "1.3.73", "devices": [DEVICE], "contexts": []}
