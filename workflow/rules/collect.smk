# From raw records to one row per point, and one per point and session. Pure: runs in seconds, needs no device.


rule collect:
    input:
        config="<results>/config.json",
        sessions=SWEEP.session_inputs,
    output:
        csv="<results>/points.csv",
        parquet="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        distributions="<results>/distributions.parquet",
        token="<results>/collected.txt",
    log:
        "<logs>/collect.log",
    params:
        code=SWEEP.code_digest("collect"),
        points=SWEEP.tables_digest,
        token=SWEEP.collect_token,
    message:
        "Collect the records into points.csv"
    shell:
        'python "$SCRIPTS/collect.py" --config {input.config:q} --csv {output.csv:q} --parquet {output.parquet:q}'
        " --sessions {output.sessions:q} --distributions {output.distributions:q}"
        " --token {params.token} --token-file {output.token:q} > {log:q} 2>&1"
