# From raw records to one row per point, and one per point and session. Pure: runs in seconds, needs no device.


rule collect:
    input:
        config="<results>/config.json",
        sessions=SWEEP.session_inputs,
        code=SWEEP.code("collect.py", "servegrid/collect.py", "servegrid/metrics.py", "servegrid/records.py"),
    output:
        csv="<results>/points.csv",
        parquet="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        token="<results>/collected.txt",
    log:
        "<logs>/collect.log",
    params:
        points=SWEEP.digest,
        token=SWEEP.collect_token,
    shell:
        "python $SCRIPTS/collect.py --config {input.config:q} --csv {output.csv:q} --parquet {output.parquet:q}"
        " --sessions {output.sessions:q} --token {params.token} --token-file {output.token:q}"
        " > {log:q} 2>&1"
