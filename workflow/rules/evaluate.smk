# A share of the predictions, of a model with several shards. What it predicts lies in a work folder until all are joined.
rule predict_shard:
    input:
        run=trained_run,
        data=benchmark_data,
        changed=unless_current(PREDICTIONS / "{benchmark}" / "meta.json"),
    output:
        temp(touch(PREDICTIONS / "{benchmark}" / "shard-{number}-of-{of}")),
    log:
        LOGS / "predict" / RUN.id / "{benchmark}-{number}-of-{of}.log",
    benchmark:
        TIMES / "predict" / RUN.id / "{benchmark}-{number}-of-{of}.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: needs("predict", "threads")
    resources:
        gpu=needs("predict", "gpu"),
        mem_mb=needs("predict", "mem_mb"),
        runtime=needs("predict", "runtime"),
    params:
        study=STUDY.path,
    message:
        "Predict {wildcards.benchmark} with {wildcards.model}, {wildcards.arm}, seed {wildcards.seed}:"
        " {wildcards.number} of {wildcards.of}"
    shell:
        "sgt predict {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " --benchmark {wildcards.benchmark} --shard {wildcards.number}/{wildcards.of} > {log:q} 2>&1"


rule predict:
    input:
        run=trained_run,
        data=benchmark_data,
        shards=shards_of_predictions,
        changed=unless_current(PREDICTIONS / "{benchmark}" / "meta.json"),
    output:
        PREDICTIONS / "{benchmark}" / "meta.json",
    log:
        LOGS / "predict" / RUN.id / "{benchmark}.log",
    benchmark:
        TIMES / "predict" / RUN.id / "{benchmark}.tsv"
    group:
        "evaluate"
    conda:
        "../envs/sgt.yaml"
    threads: needs("predict", "threads")
    resources:
        # Joining what shards predicted needs none.
        gpu=lambda wildcards: 0 if shards_of_predictions(wildcards) else STUDY.models[wildcards.model].predict.gpu,
        mem_mb=needs("predict", "mem_mb"),
        runtime=needs("predict", "runtime"),
    params:
        study=STUDY.path,
    message:
        "Predict {wildcards.benchmark} with {wildcards.model}, {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "sgt predict {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " --benchmark {wildcards.benchmark} > {log:q} 2>&1"


# What a detector or a local model makes of one run's predictions.
rule judge:
    input:
        models=models_to_score,
        predictions=PREDICTIONS / "{benchmark}" / "meta.json",
        changed=unless_current(JUDGEMENTS / "{benchmark}" / "meta.json"),
    output:
        JUDGEMENTS / "{benchmark}" / "meta.json",
    log:
        LOGS / "judge" / RUN.id / "{benchmark}.log",
    benchmark:
        TIMES / "judge" / RUN.id / "{benchmark}.tsv"
    wildcard_constraints:
        benchmark=one_of(JUDGED_ALONE),
    conda:
        "../envs/sgt.yaml"
    threads: needs("predict", "threads")
    resources:
        gpu=needs("predict", "gpu"),
        mem_mb=needs("predict", "mem_mb"),
        runtime=needs("predict", "runtime"),
    params:
        study=STUDY.path,
    message:
        "Judge {wildcards.benchmark} of {wildcards.model}, {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "sgt judge {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " --benchmark {wildcards.benchmark} > {log:q} 2>&1"


# What the judge behind an endpoint makes of the predictions of all runs, row by row in turn, since it may drift. It stays
# on this machine, where there is a network, and mostly waits.
rule judge_together:
    input:
        predictions=of_every_run("predictions"),
        changed=unless_current(*of_every_run("judgements")),
    output:
        of_every_run("judgements"),
    log:
        LOGS / "judge" / "{benchmark}.log",
    benchmark:
        TIMES / "judge" / "{benchmark}.tsv"
    wildcard_constraints:
        benchmark=one_of(JUDGED_TOGETHER),
    localrule: True
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=1440,
    params:
        study=STUDY.path,
    message:
        "Judge {wildcards.benchmark} of all runs"
    shell:
        "sgt judge {params.study:q} --benchmark {wildcards.benchmark} > {log:q} 2>&1"


rule score:
    input:
        models_to_score,
        what_is_scored,
        unless_current(SCORES / "{benchmark}.json"),
    output:
        SCORES / "{benchmark}.json",
    log:
        LOGS / "score" / RUN.id / "{benchmark}.log",
    benchmark:
        TIMES / "score" / RUN.id / "{benchmark}.tsv"
    group:
        "evaluate"
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        study=STUDY.path,
    message:
        "Score {wildcards.benchmark} of {wildcards.model}, {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "sgt score {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " --benchmark {wildcards.benchmark} > {log:q} 2>&1"


rule treatment:
    input:
        run=trained_run,
        data=dataset(STUDY.held_out) if STUDY.held_out else [],
        models=lambda wildcards: models_to_render(wildcards.arm),
        changed=unless_current(STUDY.treatment_file(RUN)),
    output:
        STUDY.drawn_targets(RUN),
        STUDY.treatment_file(RUN),
    log:
        LOGS / "treatment" / f"{RUN.id}.log",
    benchmark:
        TIMES / "treatment" / f"{RUN.id}.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: needs("predict", "threads")
    resources:
        gpu=needs("predict", "gpu"),
        mem_mb=needs("predict", "mem_mb"),
        runtime=needs("predict", "runtime"),
    params:
        study=STUDY.path,
    message:
        "Check that {wildcards.model} learned {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "sgt treatment {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " > {log:q} 2>&1"
