rule render:
    input:
        shard=RESULTS / "shards" / "{images}" / "{shard}.tar",
        models=lambda wildcards: models_to_render(wildcards.proxy),
        changed=unless_current(RESULTS / "targets" / "{images}" / "{proxy}" / "{shard}.json"),
    output:
        tar=RESULTS / "targets" / "{images}" / "{proxy}" / "{shard}.tar",
        report=RESULTS / "targets" / "{images}" / "{proxy}" / "{shard}.json",
    log:
        LOGS / "render" / "{images}" / "{proxy}" / "{shard}.log",
    benchmark:
        TIMES / "render" / "{images}" / "{proxy}" / "{shard}.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: to_render("threads")
    resources:
        gpu=to_render("gpu"),
        mem_mb=to_render("mem_mb"),
        runtime=to_render("runtime"),
    params:
        task=lambda wildcards: STUDY.proxy(wildcards.proxy).name,
        choices=lambda wildcards: render_choices(STUDY, wildcards.proxy),
    message:
        "Render {wildcards.proxy} targets of {wildcards.shard} of {wildcards.images}"
    shell:
        "sgt render {params.task} {input.shard:q} {output.tar:q}{params.choices} > {log:q} 2>&1"


rule preview:
    input:
        shard=STUDY.dataset_dir(STUDY.preview_dataset) / shard_name(0) if STUDY.preview_dataset else [],
        models=[model for arm in STUDY.proxy_arms for model in models_to_render(arm)],
        changed=unless_current(RESULTS / "figures" / "proxies.json"),
    output:
        sheet=RESULTS / "figures" / "proxies.png",
        record=RESULTS / "figures" / "proxies.json",
    log:
        LOGS / "preview.log",
    benchmark:
        TIMES / "preview.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: to_render_all("threads")
    resources:
        gpu=to_render_all("gpu"),
        mem_mb=max(4000, to_render_all("mem_mb")),
        runtime=to_render_all("runtime"),
    params:
        choices=preview_choices(),
    message:
        "Draw the contact sheet of inputs and targets"
    shell:
        "sgt preview {input.shard:q} {output.sheet:q} --record {output.record:q}{params.choices} > {log:q} 2>&1"
