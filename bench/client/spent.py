"""Run a program and write down what it used: `spent.py OUT COMMAND...`. Small itself, so that its own memory is not the program's."""

import json
import os
import sys
import time

begun_s = time.monotonic()
pid = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, used = os.wait4(pid, 0)
usage = {
    "begun_s": begun_s,
    "wall_s": time.monotonic() - begun_s,
    "cpu_s": used.ru_utime + used.ru_stime,
    "rss_mib": used.ru_maxrss / 1024,
    "status": os.waitstatus_to_exitcode(status),
}
with open(sys.argv[1], "w") as file:
    json.dump(usage, file)
