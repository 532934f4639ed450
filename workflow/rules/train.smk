# Base weights come from DVC; `pretrain` makes them anew and is only run when asked for (`make base`).
rule base_weights:
    input:
        ancient(BASE_DATA),
    output:
        "{checkpoint}/{weights}",
    log:
        LOGS / "base_weights" / "{checkpoint}" / "{weights}.log",
    benchmark:
        TIMES / "base_weights" / "{checkpoint}" / "{weights}.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=30,
        dvc=1,
    message:
        "Fetch the versioned base weights {output}"
    shell:
        "dvc pull {input:q} 2>&1 | tee {log:q} >&2"


rule pretrain:
    input:
        pretraining_data,
    output:
        pretrained("{model}"),
    log:
        LOGS / "pretrain" / "{model}.log",
    benchmark:
        TIMES / "pretrain" / "{model}.tsv"
    conda:
        "../envs/sgt.yaml"
    threads: needs("train", "threads")
    resources:
        gpu=needs("train", "gpu"),
        mem_mb=needs("train", "mem_mb"),
        runtime=240,
    params:
        study=STUDY.path,
        identity=pretrain_identity,
        folder=lambda wildcards: RESULTS / "base" / wildcards.model,
    message:
        "Make the base model {wildcards.model} from nothing"
    shell:
        "sgt pretrain {params.study:q} --model {wildcards.model} --out {params.folder:q} --threads {threads}"
        " 2>&1 | tee {log:q} >&2"


rule base_run:
    input:
        ancient(base_weights_of),
    output:
        STUDY.run_dir(RUN) / "run.json",
    log:
        LOGS / "train" / f"{RUN.id}.log",
    benchmark:
        TIMES / "train" / f"{RUN.id}.tsv"
    wildcard_constraints:
        arm=ARM_WITHOUT_TRAINING,
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=1000,
        runtime=10,
    params:
        study=STUDY.path,
        model=lambda wildcards: model_identity(wildcards.model),
        base=base_version(),
    message:
        "Record the base {wildcards.model}, which is not trained"
    shell:
        "sgt train {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " 2>&1 | tee {log:q} >&2"


rule train:
    input:
        base=ancient(base_weights_of),
        data=training_data,
    output:
        STUDY.run_dir(RUN) / "run.json",
    log:
        LOGS / "train" / f"{RUN.id}.log",
    benchmark:
        TIMES / "train" / f"{RUN.id}.tsv"
    wildcard_constraints:
        arm=f"(?!{ARM_WITHOUT_TRAINING}/)[a-z0-9_-]+",
    conda:
        "../envs/sgt.yaml"
    threads: needs("train", "threads")
    resources:
        gpu=gpus_of_one_node,
        nodes=needs("train", "nodes"),
        gres=of_nodes(lambda train: f"gpu:{train.gpu}"),
        # One torchrun per node, which the job's own srun starts (sgt launch).
        mpi=of_nodes(lambda train: "srun"),
        tasks_per_node=of_nodes(lambda train: train.gpu),
        cpus_per_task=of_nodes(lambda train: max(1, train.threads // train.gpu)),
        mem_mb=needs("train", "mem_mb"),
        runtime=needs("train", "runtime"),
    params:
        study=STUDY.path,
        recipe=recipe_identity,
        proxy=proxy_identity,
        model=lambda wildcards: model_identity(wildcards.model),
        base=base_version(),
    message:
        "Train {wildcards.model} on {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "sgt launch train {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " 2>&1 | tee {log:q} >&2"
