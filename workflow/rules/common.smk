# Reads the config into a sweep. The thinking is in servegrid/sweep.py, where it is tested; here it gets its names.
import shlex
import sys

from snakemake.exceptions import WorkflowError

SCRIPTS = f"{workflow.basedir}/workflow/scripts"
sys.path.insert(0, SCRIPTS)
# Jobs run with the Python that runs Snakemake, whether or not its environment is activated, and from any folder.
# A prefix replaces Snakemake's own strict mode, so that is said again.
shell.prefix(
    f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH"
    f" SCRIPTS={shlex.quote(SCRIPTS)} SNAKEFILE={shlex.quote(workflow.basedir)}/Snakefile; "
)

from servegrid.calibration import VERSION as CALIBRATION
from servegrid.config import ConfigError
from servegrid.sweep import Sweep

try:
    SWEEP = Sweep(config, workflow.basedir)
except ConfigError as error:
    raise WorkflowError(str(error)) from None


# Engines name their metrics and their command lines: an edit of one redoes tables and commands, and measures nothing.
ENGINE_CODE = sorted(Path(SCRIPTS, "servegrid/engines").glob("*.py"))


wildcard_constraints:
    server=r"[^/]+",
    rep=r"\d+",
    missing=r"[0-9a-f]{8}",
    model=r"[^/]+",
    image=r"[^/]+",
    client=r"stream|requests|parallel",


rule resolve:
    # The config as merged from files and command line, for the scripts and for the record. Nowhere is it ancient() input:
    # Snakemake 9 does not look at jobs behind a job that has to run, and ancient() then hides that they miss outputs.
    output:
        "<results>/config.json",
    log:
        "<logs>/resolve.log",
    params:
        config=SWEEP.resolved,
    shell:
        "printf '%s\n' {params.config:q} > {output:q} 2> {log:q}"
