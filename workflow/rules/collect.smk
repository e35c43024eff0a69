# From raw records to one row per point, and one per point and session. Pure: runs in seconds, needs no device.

COLLECT_CODE = ["collect", "measured", "rows", "metrics", "chunks", "window", "records"]
COLLECT_CODE += ["comparisons", "sameness", "garble", "warnings", "phrases", "trend", "energy", "elsewhere"]
COLLECT_CODE += ["row_cache", "distributions", "rounds", "intervals", "state", "report/points"]


rule collect:
    input:
        config="<results>/config.json",
        sessions=SWEEP.session_inputs,
        code=[*SWEEP.code("collect.py", *[f"servegrid/{name}.py" for name in COLLECT_CODE]), *ENGINE_CODE],
    output:
        csv="<results>/points.csv",
        parquet="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        distributions="<results>/distributions.parquet",
        token="<results>/collected.txt",
    log:
        "<logs>/collect.log",
    params:
        points=SWEEP.digest,
        token=SWEEP.collect_token,
    shell:
        "python $SCRIPTS/collect.py --config {input.config:q} --csv {output.csv:q} --parquet {output.parquet:q}"
        " --sessions {output.sessions:q} --distributions {output.distributions:q}"
        " --token {params.token} --token-file {output.token:q} > {log:q} 2>&1"
