TABLES = [RESULTS / "tables" / f"{name}.{kind}" for name in ("main", "kinds") for kind in ("csv", "md", "tex")]
TABLES += [RESULTS / "tables" / name for name in ("metrics.json", "gains.csv")]
FIGURES = [
    RESULTS / "figures" / f"{name}.png"
    for name in ("gains", "training", *(("generation", "samples", "scenes") if GENERATES else ()))
]


rule tables:
    input:
        scores(),
    output:
        TABLES,
    log:
        LOGS / "tables.log",
    benchmark:
        TIMES / "tables.tsv"
    group:
        "report"
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        study=STUDY.path,
    message:
        "Tables of study {STUDY.study.name}"
    shell:
        "sgt tables {params.study} 2>&1 | tee {log} >&2"


rule figures:
    input:
        scores=scores(),
        demonstrations=demonstrations(),
    output:
        FIGURES,
    log:
        LOGS / "figures.log",
    benchmark:
        TIMES / "figures.tsv"
    group:
        "report"
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        study=STUDY.path,
    message:
        "Figures of study {STUDY.study.name}"
    shell:
        "sgt figures {params.study} 2>&1 | tee {log} >&2"


rule report:
    input:
        scores=scores(),
        tables=TABLES,
        figures=FIGURES,
        preview=RESULTS / "figures" / "proxies.png",
    output:
        RESULTS / "report" / "index.html",
    log:
        LOGS / "report.log",
    benchmark:
        TIMES / "report.tsv"
    group:
        "report"
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        study=STUDY.path,
    message:
        "Report of study {STUDY.study.name}"
    shell:
        "sgt report {params.study} 2>&1 | tee {log} >&2"
