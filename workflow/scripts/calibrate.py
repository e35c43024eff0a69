"""Measure what one kind of load client costs on this host, and how late it stamps."""

import argparse
import sys
from pathlib import Path

from servegrid.client.calibration import calibrate
from servegrid.client.shape import KINDS
from servegrid.host.device_lock import DeviceBusy, hold_device
from servegrid.util.files import write_atomic


def main() -> int:
    """Read the arguments, calibrate, and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--client", choices=KINDS, default="stream", help="kind of client")
    parser.add_argument("--out", type=Path, required=True, help="where the result goes (JSON)")
    options = parser.parse_args()
    try:
        with hold_device("cpu"):
            calibration = calibrate(options.client)
    except (DeviceBusy, RuntimeError, OSError) as error:
        print(f"calibrate.py: {error}", file=sys.stderr)
        return 1
    write_atomic(options.out, calibration.as_json())
    print(
        f"client {calibration.kind}: {calibration.chunks_per_s:,.0f} chunks/s or {calibration.requests_per_s:,.0f} requests/s at most; "
        f"stamps {calibration.stamp_late_ms_p50:.2f} ms late (p50), {calibration.stamp_late_ms_p99:.2f} ms (p99)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
