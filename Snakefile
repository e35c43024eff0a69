"""servegrid: which engine, with which settings, on which device, serves best. What is wanted, and where it is made."""

from snakemake.utils import min_version

min_version("9.16")


# A folder without a config of its own sweeps what this one ships.
CONFIG = "config/config.yaml"


configfile: CONFIG if Path(CONFIG).exists() else workflow.source_path(CONFIG)


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/consult.smk"


rule all:
    default_target: True
    input:
        SWEEP.pending_marks,
        rules.resolve.output.known,
        "<results>/points.csv",
        "<reports>/snakemake.html",
        "<reports>/claims.md",
        "<reports>/questions.md",
        "<reports>/recommendation.md",
        "<reports>/verdict.txt",
        page="<reports>/report.html",
    message:
        "The report is {input.page}"
