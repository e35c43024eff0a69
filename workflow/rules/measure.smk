# The one rule that costs money. One job is one session: a server's life with all its loads.
#
# Its records are not outputs for Snakemake to own: Snakemake deletes the outputs of a job that fails or is started again, and
# what was measured must survive that. The output is a mark named by what was missing; it stays, so that Snakemake knows what
# made the records. A settled session needs nothing: whatever happens to config, models or code, it is not measured again.


rule calibrate:
    output:
        f"<resources>/calibration/{{host}}-{{client}}-{CALIBRATION}.json",
    log:
        f"<logs>/calibrate/{{host}}-{{client}}-{CALIBRATION}.log",
    threads: workflow.cores
    message:
        "Calibrate the load client {wildcards.client} on {wildcards.host}"
    # Once per host and kind of client: what it can carry here, so that a row can say how near it came.
    shell:
        'python "$SCRIPTS/calibrate.py" --client {wildcards.client} --out {output:q} 2>&1 | tee {log:q} >&2'


rule measure:
    input:
        SWEEP.session_needs,
    output:
        touch("<results>/sessions/{server}/rep{rep}/measured/{missing}"),
    log:
        "<results>/sessions/{server}/rep{rep}/measured/{missing}.log",
    priority: SWEEP.priority
    # nothing else may run beside a measurement
    threads: workflow.cores
    resources:
        gpu=SWEEP.gpu_count,
    params:
        retry="",  # stands in RETRY; a param that is gone would be one that changed, for the marks of earlier versions
    message:
        "Measure {wildcards.server}, session {wildcards.rep}"
    shell:
        'python "$SCRIPTS/measure.py" --config "$RESULTS/config.json" --prompts "$PROMPTS"'
        " --session {wildcards.server:q}/rep{wildcards.rep} --log {log:q} --retry $RETRY"
