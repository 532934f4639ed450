rule predict:
    input:
        run=trained_run,
        data=benchmark_data,
        screened=lambda wildcards: screened(STUDY.benchmarks[wildcards.benchmark].dataset),
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
        gpu=needs("predict", "gpu"),
        mem_mb=needs("predict", "mem_mb"),
        runtime=needs("predict", "runtime"),
    params:
        study=STUDY.path,
    message:
        "Predict {wildcards.benchmark} with {wildcards.model}, {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "sgt predict {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " --benchmark {wildcards.benchmark} > {log:q} 2>&1"


rule score:
    input:
        models_to_score,
        PREDICTIONS / "{benchmark}" / "meta.json",
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


rule sample_targets:
    input:
        run=trained_run,
        data=[file for spec in STUDY.benchmarks.values() for file in dataset(spec.dataset)],
        changed=unless_current(PREDICTIONS / DRAWN / "meta.json"),
    output:
        PREDICTIONS / DRAWN / "images.tar",
        PREDICTIONS / DRAWN / "meta.json",
    log:
        LOGS / "sample_targets" / f"{RUN.id}.log",
    benchmark:
        TIMES / "sample_targets" / f"{RUN.id}.tsv"
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
        "Draw {wildcards.arm} targets with {wildcards.model}, seed {wildcards.seed}"
    shell:
        "sgt sample-targets {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " > {log:q} 2>&1"
