# Questions to ask before a sweep: what would run, and can it run here? They are answered on the terminal.


rule plan:
    log:
        "<logs>/plan.log",
    params:
        config=SWEEP.full_config,
    message:
        "Say what this sweep would do"
    shell:
        'python "$SCRIPTS/plan.py" --config {params.config:q} 2>&1 | tee {log:q}'


rule doctor:
    log:
        "<logs>/doctor.log",
    params:
        config=SWEEP.full_config,
    message:
        "Check whether this host can run this sweep"
    shell:
        'python "$SCRIPTS/doctor.py" --config {params.config:q} 2>&1 | tee {log:q}'
