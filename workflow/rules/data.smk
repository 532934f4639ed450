# One rule per dataset, because datasets differ in how many shards they have.
for name, spec in STUDY.study.datasets.items():

    rule:
        name:
            f"toyworld_{name.replace('-', '_')}"
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
        message:
            "Make the dataset {params.folder}: {params.scenes} scenes"
        shell:
            "sgt toyworld {params.folder} --split {params.split} --scenes {params.scenes}"
            " --per-shard {params.per_shard} --size {params.size} --seed {params.seed} --workers {threads}"
            " 2>&1 | tee {log} >&2"
