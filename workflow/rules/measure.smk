# The one rule that costs money. One job is one session: a server's life with all its loads.
#
# Its records are not outputs for Snakemake to own: Snakemake deletes the outputs of a job that fails or is started again, and
# what was measured must survive that. The output is a mark named by what is missing; a session whose records are all there is
# not asked for at all (see Sweep.session_inputs), whatever happened to marks, dates or code.


rule calibrate:
    # Once per host and kind of client: what it can carry here, so that a row can say how near it came.
    output:
        f"<resources>/calibration/{{host}}-{{client}}-{CALIBRATION}.json",
    log:
        f"<logs>/calibrate/{{host}}-{{client}}-{CALIBRATION}.log",
    threads: workflow.cores
    shell:
        "python $SCRIPTS/calibrate.py --client {wildcards.client} --out {output:q} 2>&1 | tee {log:q} >&2"


rule measure:
    input:
        config="<results>/config.json",
        prompts=SWEEP.prompt_file,
        parts=SWEEP.session_parts,
        calibrations=SWEEP.calibrations,
    output:
        touch("<results>/sessions/{server}/rep{rep}/measured/{missing}"),
    log:
        "<results>/sessions/{server}/rep{rep}/measured/{missing}.log",
    priority: SWEEP.priority
    # nothing else may run beside a measurement
    threads: workflow.cores
    resources:
        gpu=SWEEP.gpus,
    params:
        retry=" ".join(SWEEP.config.retry),
    shell:
        "python $SCRIPTS/measure.py --config {input.config:q} --prompts {input.prompts:q}"
        " --session {wildcards.server}/rep{wildcards.rep} --log {log:q} --retry {params.retry}"
