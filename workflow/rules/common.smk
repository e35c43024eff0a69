# Parses the config once; rules take inputs and params from SWEEP.
import shlex
import sys

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger
from snakemake_interface_logger_plugins.common import LogEvent

# This file's own place, also where another workflow uses this one as a module.
REPOSITORY = Path(workflow.snakefile).resolve().parents[2]
SCRIPTS = REPOSITORY / "workflow" / "scripts"
sys.path.insert(0, str(SCRIPTS))

from servegrid.client.calibration import VERSION as CALIBRATION
from servegrid.config import ConfigError
from servegrid.sweep import Sweep

try:
    SWEEP = Sweep(config, REPOSITORY)
except ConfigError as error:
    raise WorkflowError(str(error)) from None

# Jobs run with the Python that runs Snakemake, whether or not its environment is activated, and from any folder. What stands here
# is no reason to do a thing again, as what is asked of one run alone must not be (RETRY). A prefix replaces Snakemake's own strict mode,
# so that is said again; and it is formatted, so that a brace in a path has to be doubled.
VARIABLES = {
    "SCRIPTS": SCRIPTS,
    "SNAKEFILE": workflow.main_snakefile,
    "RESULTS": SWEEP.config.pathvars.results,
    "PROMPTS": SWEEP.prompt_file,
    "RETRY": " ".join(SWEEP.config.retry),
}
EXPORTS = " ".join(f"{name}={shlex.quote(str(value))}" for name, value in VARIABLES.items())
PREFIX = f"set -euo pipefail; export PATH={shlex.quote(str(Path(sys.executable).parent))}:$PATH {EXPORTS}; "
shell.prefix(PREFIX.replace("{", "{{").replace("}", "}}"))

# A dry run says by rule what would be done and why; which sessions, `snakemake plan` says in their order.
if Path(workflow.main_snakefile).resolve().is_relative_to(REPOSITORY):
    logger.addFilter(lambda record: not workflow.dryrun or getattr(record, "event", None) != LogEvent.JOB_INFO)


wildcard_constraints:
    server=r"[^/]+",
    rep=r"\d+",
    missing=r"[0-9a-f]{8}",
    attempt=r"[0-9a-f]{8}",
    model=r"[^/]+",
    image=r"[^/]+",
    client=r"stream|requests|parallel",


# Seconds on any host; on a cluster they are no jobs of their own.
localrules:
    all,
    resolve,
    collect,
    tables,
    figures,
    claims,
    recommend,
    questions,
    timelines,
    page,
    snakemake_report,
    verdict,
    plan,
    doctor,


rule resolve:
    output:
        config="<results>/config.json",
        # Where one of these is missing, Snakemake does not know what made the results (they came from another folder, or its own
        # records are gone) and sees no param that changed: then all is made anew from the records.
        known=touch(SWEEP.provenance_marks),
    log:
        "<logs>/resolve.log",
    params:
        # A function's value is taken as it is; in a text Snakemake would look for wildcards.
        config=SWEEP.stored_config,
    message:
        "Write down the config of this sweep"
    # The config as merged from files and command line, for the scripts and for the record.
    shell:
        "printf '%s\n' {params.config:q} > {output.config:q} 2> {log:q}"
