rule analyse:
    input:
        run=trained_run,
        data=lambda wildcards: dataset(STUDY.analyses[wildcards.analysis].dataset),
        read=read_by_analysis,
        changed=unless_current(STUDY.analysis_file(RUN, "{analysis}")),
    output:
        STUDY.analysis_file(RUN, "{analysis}"),
    log:
        LOGS / "analyse" / RUN.id / "{analysis}.log",
    benchmark:
        TIMES / "analyse" / RUN.id / "{analysis}.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: needs("predict", "threads")
    resources:
        gpu=needs("predict", "gpu"),
        mem_mb=needs("predict", "mem_mb"),
        runtime=needs("predict", "runtime"),
    params:
        study=STUDY.path,
        command=lambda wildcards: STUDY.analyses[wildcards.analysis].analysis,
    message:
        "Analyse {wildcards.model}, {wildcards.arm}, seed {wildcards.seed}: {wildcards.analysis}"
    shell:
        "sgt {params.command} {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " --analysis {wildcards.analysis} > {log:q} 2>&1"
