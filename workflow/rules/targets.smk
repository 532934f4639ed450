rule render:
    input:
        STUDY.dataset_dir(STUDY.study.data.proxy) / "{shard}.tar",
    output:
        tar=STUDY.target_dir("{proxy}") / "{shard}.tar",
        report=STUDY.target_dir("{proxy}") / "{shard}.json",
    log:
        LOGS / "render" / "{proxy}" / "{shard}.log",
    benchmark:
        TIMES / "render" / "{proxy}" / "{shard}.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    message:
        "Render {wildcards.proxy} targets of {wildcards.shard}"
    shell:
        "sgt render {wildcards.proxy} {input} {output.tar} 2>&1 | tee {log} >&2"


rule preview:
    input:
        STUDY.dataset_dir(STUDY.study.data.proxy) / shard_name(0),
    output:
        RESULTS / "figures" / "proxies.png",
    log:
        LOGS / "preview.log",
    benchmark:
        TIMES / "preview.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    message:
        "Draw the contact sheet of inputs and targets"
    shell:
        "sgt preview {input} {output} 2>&1 | tee {log} >&2"
