# Questions to ask before a sweep: what would run, and can it run here?


rule plan:
    input:
        config=ancient("<results>/config.json"),
    shell:
        "{PYTHON} {SCRIPTS}/plan.py --config {input.config:q}"


rule doctor:
    input:
        config=ancient("<results>/config.json"),
    shell:
        "{PYTHON} {SCRIPTS}/doctor.py --config {input.config:q}"
