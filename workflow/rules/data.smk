localrules:
    fetch,


# Files that were fetched stay if this runs again: `lock.json`, which is no output, has their hashes.
rule fetch:
    output:
        f"{STUDY.study.downloads}/{{download}}/{FETCHED}",
    log:
        LOGS / "fetch" / "{download}.log",
    benchmark:
        TIMES / "fetch" / "{download}.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=1440,
    params:
        into=lambda wildcards, output: Path(output[0]).parents[1],
    message:
        "Fetch {wildcards.download}"
    shell:
        "sgt fetch {wildcards.download} --into {params.into:q} > {log:q} 2>&1"


# One rule per dataset, because datasets differ in how many shards they have.
for name, spec in STUDY.study.datasets.items():
    if spec.source == "toyworld":
        continue

    rule:
        name:
            f"shards_{name.replace('-', '_')}"
        input:
            [fetched(folder)] if (folder := STUDY.download_of(name)) else [],
            unless_current(STUDY.dataset_dir(name) / MANIFEST),
        output:
            dataset(name),
        log:
            LOGS / "shards" / f"{name}.log",
        benchmark:
            TIMES / "shards" / f"{name}.tsv"
        conda:
            "../envs/sgt.yaml"
        threads: min(8, spec.shards)
        resources:
            mem_mb=8000,
            runtime=1440,
        params:
            study=STUDY.path,
            dataset=name,
            summary=spec.summary,
        message:
            "Make the dataset {params.dataset}: {params.summary}"
        shell:
            "sgt shards {params.study:q} {params.dataset} --workers {threads} > {log:q} 2>&1"


for name, spec in STUDY.study.datasets.items():
    if spec.source != "toyworld":
        continue

    rule:
        name:
            f"toyworld_{name.replace('-', '_')}"
        input:
            unless_current(STUDY.dataset_dir(name) / MANIFEST),
        output:
            dataset(name),
        log:
            LOGS / "toyworld" / f"{name}.log",
        benchmark:
            TIMES / "toyworld" / f"{name}.tsv"
        conda:
            "../envs/sgt.yaml"
        threads: min(8, spec.shards)
        resources:
            mem_mb=2000,
            runtime=60,
        params:
            folder=STUDY.dataset_dir(name),
            split=spec.split,
            scenes=spec.scenes,
            per_shard=spec.per_shard,
            size=spec.size,
            seed=spec.seed,
            edits="--edits" if spec.edits else "",
        message:
            "Make the dataset {params.folder}: {params.scenes} scenes"
        shell:
            "sgt toyworld {params.folder:q} --split {params.split} --scenes {params.scenes}"
            " --per-shard {params.per_shard} --size {params.size} --seed {params.seed} {params.edits} --workers {threads}"
            " > {log:q} 2>&1"


rule screen:
    input:
        data=lambda wildcards: dataset(wildcards.images),
        bases=ancient(all_base_weights),
        changed=unless_current(RESULTS / "shards" / "{images}" / SCREENED),
    output:
        RESULTS / "shards" / "{images}" / SCREENED,
    log:
        LOGS / "screen" / "{images}.log",
    benchmark:
        TIMES / "screen" / "{images}.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: lambda wildcards: min(8, STUDY.study.datasets[wildcards.images].shards)
    resources:
        mem_mb=8000,
        runtime=240,
    params:
        study=STUDY.path,
    message:
        "Check the samples of {wildcards.images} for every model"
    shell:
        "sgt screen {params.study:q} {wildcards.images} --workers {threads} > {log:q} 2>&1"
