"""servegrid: which engine, with which settings, on which device, serves best. What is wanted, and where it is made."""

from snakemake.utils import min_version

min_version("9.16")


configfile: "config/config.yaml"


report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/prepare.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/collect.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/consult.smk"


rule all:
    default_target: True
    input:
        "<results>/points.csv",
        "<reports>/report.html",
        "<reports>/snakemake.html",
        "<reports>/claims.md",
        "<reports>/questions.md",
        "<reports>/recommendation.md",
        "<reports>/verdict.txt",
