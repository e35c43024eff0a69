# What a session needs before it can start: environments, models, prompts. Their folders are named by content.


rule engine_environment:
    output:
        touch("<resources>/envs/{environment}/ready"),
    log:
        "<logs>/engine_environment/{environment}.log",
    params:
        lock=SWEEP.lock_file,
        folder=subpath(output[0], parent=True),
    message:
        "Build the environment {wildcards.environment}"
    shell:
        'python "$SCRIPTS/build_environment.py" --lock {params.lock:q} --out {params.folder:q} > {log:q} 2>&1'


# An image that cannot be had is recorded with the reason; the sessions that need it become rows, and the sweep goes on. The
# record is none of the outputs: an attempt that fails leaves it, and the next run is another attempt.
rule image:
    output:
        touch("<resources>/images/{image}.{attempt}.done"),
    log:
        "<logs>/image/{image}.{attempt}.log",
    params:
        reference=SWEEP.image_reference,
        record=SWEEP.image_record,
    message:
        "Look up the container image {params.reference}"
    shell:
        'python "$SCRIPTS/pull_image.py" --reference {params.reference:q} --out {params.record:q} 2>&1 | tee {log:q} >&2'


rule checkpoint:
    output:
        directory("<resources>/models/{model}/checkpoint"),
    log:
        "<logs>/checkpoint/{model}.log",
    params:
        command=SWEEP.checkpoint_command,
    message:
        "Get the checkpoint of {wildcards.model}"
    shell:
        'python "$SCRIPTS"/{params.command} --out {output:q} > {log:q} 2>&1'


rule gguf:
    input:
        checkpoint=SWEEP.checkpoint,
    output:
        "<resources>/models/{model}/{quantization}.gguf",
    log:
        "<logs>/gguf/{model}-{quantization}.log",
    wildcard_constraints:
        quantization=r"[a-z0-9_]+",
    message:
        "Convert {wildcards.model} to GGUF, {wildcards.quantization}"
    shell:
        'python "$SCRIPTS/to_gguf.py" --checkpoint {input.checkpoint:q} --quantization {wildcards.quantization:q}'
        " --out {output:q} > {log:q} 2>&1"


rule ctranslate2:
    input:
        checkpoint=SWEEP.checkpoint,
        environment=SWEEP.environment_ready("ctranslate2"),
    output:
        directory("<resources>/models/{model}/ctranslate2"),
    log:
        "<logs>/ctranslate2/{model}.log",
    params:
        python=SWEEP.environment_python("ctranslate2"),
    message:
        "Convert {wildcards.model} for CTranslate2"
    shell:
        '{params.python:q} "$SCRIPTS"/to_ctranslate2.py --checkpoint {input.checkpoint:q} --out {output:q} > {log:q} 2>&1'


rule checkpoint_no_eos:
    input:
        checkpoint=SWEEP.checkpoint,
    output:
        directory("<resources>/models/{model}/checkpoint-no-eos"),
    log:
        "<logs>/checkpoint_no_eos/{model}.log",
    message:
        "Copy {wildcards.model} without its end of text"
    shell:
        'python "$SCRIPTS/checkpoint_no_eos.py" --checkpoint {input.checkpoint:q} --out {output:q} > {log:q} 2>&1'


rule rbln:
    input:
        checkpoint=SWEEP.checkpoint,
    output:
        directory("<resources>/models/{model}/rbln-b{batch}-l{length}-d{devices}"),
    log:
        "<logs>/rbln/{model}-b{batch}-l{length}-d{devices}.log",
    wildcard_constraints:
        batch=r"\d+",
        length=r"\d+",
        devices=r"\d+",
    params:
        python=SWEEP.rbln_python,
    message:
        "Compile {wildcards.model} for Rebellions' NPUs"
    # For Rebellions' NPUs; what it is compiled for stands in its name.
    shell:
        '{params.python:q} "$SCRIPTS/compile_rbln.py" --checkpoint {input.checkpoint:q} --batch {wildcards.batch}'
        " --length {wildcards.length} --devices {wildcards.devices} --out {output:q} > {log:q} 2>&1"


rule prompts:
    input:
        checkpoint=SWEEP.served_checkpoint,
    output:
        "<resources>/prompts/{prompts}.jsonl",
    log:
        "<logs>/prompts/{prompts}.log",
    params:
        what=SWEEP.prompt_arguments,
    message:
        "Generate the prompts"
    shell:
        'python "$SCRIPTS/build_prompts.py" {params.what} --out {output:q} > {log:q} 2>&1'
