# From the table of points to tables, figures, verdicts and the page. Pure: an edit of what only they depend on redoes them alone.

FIGURES = ["time_threads", "speculation", "engines", "latencies", "quantization", "sameness"]


rule tables:
    input:
        points="<results>/points.parquet",
        config="<results>/config.json",
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
        code=SWEEP.code_digest("tables"),
        published=SWEEP.published_digests,
        out=subpath(output.article, parent=True),
    message:
        "Write the tables"
    shell:
        'python "$SCRIPTS/tables.py" --points {input.points:q} --config {input.config:q} --out {params.out:q}'
        " > {log:q} 2>&1"


rule figures:
    input:
        points="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        distributions="<results>/distributions.parquet",
        config="<results>/config.json",
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
        code=SWEEP.code_digest("figures"),
        published=SWEEP.published_digests,
        out=subpath(output.engines, parent=True),
    message:
        "Draw the figures"
    shell:
        'python "$SCRIPTS/figures.py" --points {input.points:q} --sessions {input.sessions:q}'
        " --distributions {input.distributions:q} --config {input.config:q} --out {params.out:q} > {log:q} 2>&1"


rule claims:
    input:
        points="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        config="<results>/config.json",
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
        code=SWEEP.code_digest("claims"),
        published=SWEEP.published_digests,
        out=subpath(output.page, parent=True),
    message:
        "Judge the claims"
    shell:
        'python "$SCRIPTS/claims.py" --points {input.points:q} --sessions {input.sessions:q} --config {input.config:q}'
        " --out {params.out:q} > {log:q} 2>&1"


rule recommend:
    input:
        points="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        config="<results>/config.json",
    output:
        data="<reports>/recommendation.json",
        words="<reports>/recommendation.md",
        command="<reports>/recommendation.sh",
    log:
        "<logs>/recommend.log",
    params:
        code=SWEEP.code_digest("recommend"),
        out=subpath(output.data, parent=True),
    message:
        "Recommend a setting"
    shell:
        'python "$SCRIPTS/recommend.py" --points {input.points:q} --sessions {input.sessions:q} --config {input.config:q}'
        " --out {params.out:q} > {log:q} 2>&1"


rule questions:
    input:
        points="<results>/points.parquet",
        sessions="<results>/sessions.parquet",
        config="<results>/config.json",
    output:
        data="<reports>/questions.json",
        words="<reports>/questions.md",
    log:
        "<logs>/questions.log",
    params:
        code=SWEEP.code_digest("questions"),
        devices=SWEEP.device_table_digest,
        published=SWEEP.published_digests,
        out=subpath(output.data, parent=True),
    message:
        "Answer the questions"
    shell:
        'python "$SCRIPTS/questions.py" --points {input.points:q} --sessions {input.sessions:q} --config {input.config:q}'
        " --out {params.out:q} > {log:q} 2>&1"


rule timelines:
    input:
        # not used itself, but written anew whenever a session was measured
        points="<results>/points.parquet",
        config="<results>/config.json",
    output:
        folder=report(
            directory("<reports>/timelines"),
            patterns=["{server}/{rep}.svg"],
            caption="../report/timeline.rst",
            category="Timelines",
            labels={"server": "{server}", "session": "{rep}"},
        ),
    log:
        "<logs>/timelines.log",
    params:
        code=SWEEP.code_digest("timeline"),
        sessions=SWEEP.timeline_sessions,
    message:
        "Draw the timelines"
    shell:
        'mkdir -p {output.folder:q} && python "$SCRIPTS/timeline.py" {params.sessions:q} --config {input.config:q}'
        " --out {output.folder:q} > {log:q} 2>&1"


rule page:
    input:
        rules.figures.output,
        rules.claims.output,
        rules.recommend.output,
        rules.questions.output,
        timelines=[rules.timelines.output.folder] if SWEEP.config.report.timelines else [],
        points="<results>/points.parquet",
        ranges="<results>/sessions.parquet",
        config="<results>/config.json",
    output:
        page="<reports>/report.html",
    log:
        "<logs>/page.log",
    params:
        code=SWEEP.code_digest("page"),
        published=SWEEP.published_digests,
        sessions=subpath(input.points, parent=True),
        reports=subpath(output.page, parent=True),
    message:
        "Write the page"
    # The report: one page that needs nothing else.
    shell:
        'python "$SCRIPTS/page.py" --points {input.points:q} --config {input.config:q}'
        " --sessions {params.sessions:q}/sessions --ranges {input.ranges:q} --reports {params.reports:q} --out {output.page:q}"
        " > {log:q} 2>&1"


rule snakemake_report:
    input:
        rules.tables.output,
        rules.figures.output,
        rules.claims.output,
        timelines=[rules.timelines.output.folder] if SWEEP.config.report.timelines else [],
        config="<results>/config.json",
    output:
        "<reports>/snakemake.html",
    log:
        "<logs>/snakemake_report.log",
    params:
        captions=SWEEP.caption_digests,
        targets=lambda wildcards, input: [
            rules.tables.output.article,
            rules.figures.output.engines,
            rules.claims.output.page,
            *input.timelines,
        ],
    message:
        "Write Snakemake's own report"
    # Snakemake's own report of the run, made as a step of the run, so that it is there also when points failed.
    shell:
        'python -m snakemake --snakefile "$SNAKEFILE" --configfile {input.config:q} --cores 1'
        " --report {output:q} {params.targets:q} > {log:q} 2>&1"


rule verdict:
    input:
        points="<results>/points.csv",
        report="<reports>/report.html",
        recommendation="<reports>/recommendation.json",
    output:
        text="<reports>/verdict.txt",
    log:
        "<logs>/verdict.log",
    params:
        code=SWEEP.code_digest("verdict"),
    message:
        "Say how it went"
    # Fails when points failed, after everything else was made: the exit status of the run tells.
    shell:
        'python "$SCRIPTS/verdict.py" --points {input.points:q} --report {input.report:q}'
        " --recommendation {input.recommendation:q} --out {output.text:q} 2>&1 | tee {log:q} >&2"
