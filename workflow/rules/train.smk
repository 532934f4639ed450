# Base weights come from DVC's store, one rule per checkpoint, because checkpoints differ in their files. `pretrain` makes
# new ones, and only runs when requested (`make base`).
for number, (folder, files) in enumerate(LOCAL_CHECKPOINTS.items()):

    rule:
        name:
            f"base_weights_{number}"
        input:
            ancient(BASE_DATA),
            unless_current(folder),
        output:
            [f"{folder}/{file}" for file in files],
        log:
            LOGS / "base_weights" / f"{folder.lstrip('/')}.log",
        benchmark:
            TIMES / "base_weights" / f"{folder.lstrip('/')}.tsv"
        localrule: True
        conda:
            "../envs/sgt.yaml"
        threads: 1
        resources:
            mem_mb=1000,
            runtime=30,
        params:
            folder=constant(folder),
        message:
            "Fetch the versioned base weights in {params.folder}"
        shell:
            "sgt base {params.folder:q} > {log:q} 2>&1"


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
        folder=lambda wildcards: RESULTS / "base" / wildcards.model,
    message:
        "Make the base model {wildcards.model} from nothing"
    shell:
        "sgt pretrain {params.study:q} --model {wildcards.model} --out {params.folder:q} --threads {threads}"
        " > {log:q} 2>&1"


rule base_run:
    input:
        lambda wildcards: base_weights_of(wildcards.model),
        unless_current(STUDY.run_dir(RUN) / "run.json"),
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
    message:
        "Record the base {wildcards.model}, which is not trained"
    shell:
        "sgt train {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " > {log:q} 2>&1"


rule train:
    input:
        base=lambda wildcards: base_weights_of(wildcards.model),
        data=training_data,
        screened=lambda wildcards: screened(*training_datasets(wildcards.arm)),
        changed=unless_current(STUDY.run_dir(RUN) / "run.json"),
    output:
        STUDY.run_dir(RUN) / "run.json",
    log:
        LOGS / "train" / f"{RUN.id}.log",
    benchmark:
        TIMES / "train" / f"{RUN.id}.tsv"
    wildcard_constraints:
        arm="|".join(arm for arm in STUDY.study.arms if arm != ARM_WITHOUT_TRAINING) or "(?!)",
    conda:
        "../envs/sgt.yaml"
    threads: needs("train", "threads")
    resources:
        gpu=gpus_of_one_node,
        nodes=needs("train", "nodes"),
        gres=on_several_nodes(lambda train: f"gpu:{train.gpu}"),
        # One `sgt launch` per node, which the job's own srun starts.
        mpi=on_several_nodes(lambda train: "srun"),
        tasks_per_node=on_several_nodes(lambda train: train.gpu),
        cpus_per_task=on_several_nodes(lambda train: max(1, train.threads // train.gpu)),
        mem_mb=needs("train", "mem_mb"),
        runtime=needs("train", "runtime"),
    params:
        study=STUDY.path,
    message:
        "Train {wildcards.model} on {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "sgt launch train {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " > {log:q} 2>&1"


rule transplant:
    input:
        transplanted_runs,
        unless_current(STUDY.run_dir(RUN) / "run.json"),
    output:
        STUDY.run_dir(RUN) / "run.json",
    log:
        LOGS / "transplant" / f"{RUN.id}.log",
    benchmark:
        TIMES / "transplant" / f"{RUN.id}.tsv"
    wildcard_constraints:
        arm="|".join(STUDY.study.transplants) or "(?!)",
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=needs("train", "mem_mb"),
        runtime=30,
    params:
        study=STUDY.path,
    message:
        "Put parts of one {wildcards.model} into another: {wildcards.arm}, seed {wildcards.seed}"
    shell:
        "sgt transplant {params.study:q} --model {wildcards.model} --arm {wildcards.arm} --seed {wildcards.seed}"
        " > {log:q} 2>&1"
