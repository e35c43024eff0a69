# From the table of points to tables, figures and the report. A change in the report part of the config redoes these alone.

FIGURES = ["time_threads", "speculation", "engines", "latencies", "quantization", "sameness"]
REPORT_CODE = sorted(
    path for path in Path(SCRIPTS, "servegrid/report").rglob("*") if path.suffix in (".py", ".js", ".css", ".j2")
)
REPORT_CODE += SWEEP.code("servegrid/intervals.py", "servegrid/metrics.py", "servegrid/phrases.py")
DEPLOY_CODE = ["commands", "containers", "deploy", "topology", "balancer"]


rule tables:
    input:
        points="<results>/points.parquet",
        published=SWEEP.published,
        code=[*SWEEP.code("tables.py"), *REPORT_CODE],
    output:
        expand("<reports>/tables/{table}.{format}", table=["article", "comparison"], format=["csv", "md"]),
        article=report(
            "<reports>/tables/article.html",
            caption="../report/article.rst",
            category="Tables",
            labels={"table": "time to complete"},
        ),
        comparison=report(
            "<reports>/tables/comparison.html",
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "full comparison"},
        ),
    log:
        "<logs>/tables.log",
    params:
        settings=SWEEP.report_settings,
        out=subpath(output.article, parent=True),
    shell:
        "python $SCRIPTS/tables.py --points {input.points:q} --settings {params.settings:q} --out {params.out:q}"
        " > {log:q} 2>&1"


rule figures:
    input:
        points="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        distributions="<results>/distributions.parquet",
        published=SWEEP.published,
        code=[*SWEEP.code("figures.py"), *REPORT_CODE],
    output:
        expand("<reports>/figures/{figure}.png", figure=FIGURES),
        time_threads=report(
            "<reports>/figures/time_threads.svg",
            caption="../report/time_threads.rst",
            category="Figures",
            labels={"figure": "time against client threads"},
        ),
        speculation=report(
            "<reports>/figures/speculation.svg",
            caption="../report/speculation.rst",
            category="Figures",
            labels={"figure": "speculation"},
        ),
        engines=report(
            "<reports>/figures/engines.svg",
            caption="../report/engines.rst",
            category="Figures",
            labels={"figure": "engines at their best"},
        ),
        latencies=report(
            "<reports>/figures/latencies.svg",
            caption="../report/latencies.rst",
            category="Figures",
            labels={"figure": "latency distributions"},
        ),
        quantization=report(
            "<reports>/figures/quantization.svg",
            caption="../report/quantization.rst",
            category="Figures",
            labels={"figure": "quantization"},
        ),
        sameness=report(
            "<reports>/figures/sameness.svg",
            caption="../report/sameness.rst",
            category="Figures",
            labels={"figure": "speed-up against sameness"},
        ),
    log:
        "<logs>/figures.log",
    params:
        settings=SWEEP.report_settings,
        out=subpath(output.engines, parent=True),
    shell:
        "python $SCRIPTS/figures.py --points {input.points:q} --sessions {input.sessions:q}"
        " --distributions {input.distributions:q} --settings {params.settings:q} --out {params.out:q} > {log:q} 2>&1"


rule claims:
    input:
        points="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        config="<results>/config.json",
        published=SWEEP.published,
        code=[*SWEEP.code("claims.py"), *REPORT_CODE],
    output:
        expand("<reports>/claims.{format}", format=["json", "csv", "md"]),
        page=report(
            "<reports>/claims.html",
            caption="../report/claims.rst",
            category="Claims",
            labels={"table": "claims"},
        ),
    log:
        "<logs>/claims.log",
    params:
        out=subpath(output.page, parent=True),
    shell:
        "python $SCRIPTS/claims.py --points {input.points:q} --sessions {input.sessions:q} --config {input.config:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule recommend:
    input:
        points="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        config="<results>/config.json",
        code=[
            *SWEEP.code("recommend.py", *[f"servegrid/{name}.py" for name in DEPLOY_CODE]),
            *ENGINE_CODE,
            *REPORT_CODE,
        ],
    output:
        data="<reports>/recommendation.json",
        words="<reports>/recommendation.md",
        command="<reports>/recommendation.sh",
    log:
        "<logs>/recommend.log",
    params:
        out=subpath(output.data, parent=True),
    shell:
        "python $SCRIPTS/recommend.py --points {input.points:q} --sessions {input.sessions:q} --config {input.config:q}"
        " --out {params.out:q} > {log:q} 2>&1"


rule questions:
    input:
        points="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        config="<results>/config.json",
        published=SWEEP.published,
        devices=f"{workflow.basedir}/config/published/devices.csv",
        code=[*SWEEP.code("questions.py", "servegrid/model/size.py", "servegrid/model/checkpoint.py"), *REPORT_CODE],
    output:
        data="<reports>/questions.json",
        words="<reports>/questions.md",
    log:
        "<logs>/questions.log",
    params:
        out=subpath(output.data, parent=True),
    shell:
        "python $SCRIPTS/questions.py --points {input.points:q} --sessions {input.sessions:q} --config {input.config:q}"
        " --devices {input.devices:q} --out {params.out:q} > {log:q} 2>&1"


rule timelines:
    input:
        # not used itself, but written anew whenever a session was measured
        points="<results>/points.parquet",
        code=[*SWEEP.code("timeline.py"), *REPORT_CODE],
    output:
        report(
            directory("<reports>/timelines"),
            patterns=["{server}/{rep}.svg"],
            caption="../report/timeline.rst",
            category="Timelines",
            labels={"server": "{server}", "session": "{rep}"},
        ),
    log:
        "<logs>/timelines.log",
    params:
        sessions=SWEEP.timeline_sessions,
        settings=SWEEP.report_settings,
    shell:
        "mkdir -p {output:q} && python $SCRIPTS/timeline.py {params.sessions:q} --settings {params.settings:q}"
        " --out {output:q} > {log:q} 2>&1"


rule page:
    # The report: one page that needs nothing else.
    input:
        rules.figures.output,
        rules.claims.output,
        rules.recommend.output,
        rules.questions.output,
        timelines=rules.timelines.output if SWEEP.config.report.timelines else [],
        points="<results>/points.parquet",
        ranges="<results>/sessions.parquet",
        published=SWEEP.published,
        config="<results>/config.json",
        code=[
            *SWEEP.code("page.py", "servegrid/config/measuring.py", "servegrid/config/serving.py"),
            *REPORT_CODE,
        ],
    output:
        "<reports>/report.html",
    log:
        "<logs>/page.log",
    params:
        settings=SWEEP.report_settings,
        sessions=subpath(input.points, parent=True),
        reports=subpath(output[0], parent=True),
    shell:
        "python $SCRIPTS/page.py --points {input.points:q} --settings {params.settings:q} --config {input.config:q}"
        " --sessions {params.sessions:q}/sessions --ranges {input.ranges:q} --reports {params.reports:q} --out {output:q}"
        " > {log:q} 2>&1"


rule snakemake_report:
    # Snakemake's own report of the run, made as a step of the run, so that it is there also when points failed.
    input:
        rules.tables.output,
        rules.figures.output,
        rules.claims.output,
        timelines=rules.timelines.output if SWEEP.config.report.timelines else [],
        config="<results>/config.json",
        captions=Path(workflow.basedir, "workflow/report").glob("*.rst"),
    output:
        "<reports>/snakemake.html",
    log:
        "<logs>/snakemake_report.log",
    params:
        targets=lambda wildcards, input: [
            rules.tables.output.article,
            rules.figures.output.engines,
            rules.claims.output.page,
            *input.timelines,
        ],
    shell:
        "python -m snakemake --snakefile $SNAKEFILE --configfile {input.config:q} --cores 1"
        " --report {output:q} {params.targets:q} > {log:q} 2>&1"


rule verdict:
    # Fails when points failed, after everything else was made: the exit status of the run tells.
    input:
        points="<results>/points.csv",
        report="<reports>/report.html",
        recommendation="<reports>/recommendation.json",
    output:
        "<reports>/verdict.txt",
    log:
        "<logs>/verdict.log",
    shell:
        "python $SCRIPTS/verdict.py --points {input.points:q} --report {input.report:q}"
        " --recommendation {input.recommendation:q} --out {output:q} 2>&1 | tee {log:q} >&2"
