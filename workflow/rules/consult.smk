# Questions to ask before a sweep: what would run, and can it run here? They write nothing.


rule plan:
    params:
        config=SWEEP.whole,
    shell:
        "{PYTHON} {SCRIPTS}/plan.py --config {params.config:q}"


rule doctor:
    params:
        config=SWEEP.whole,
    shell:
        "{PYTHON} {SCRIPTS}/doctor.py --config {params.config:q}"
