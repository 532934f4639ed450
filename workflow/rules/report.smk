TABLES = [RESULTS / "tables" / name for name in table_files(STUDY)]
FIGURES = figures_of(STUDY)
VECTOR_FIGURES = [RESULTS / "figures" / name for name in figure_files(STUDY) if not name.endswith(".png")]

# Tables, figures, evidence and report are one job on a cluster, except where many results are compared: of each job of
# a group, Snakemake looks through all inputs whenever one of these is made, so that planning time would grow with the
# square of the number of results.
GROUP_OF_PAGES = "report" if len(scores()) <= 200 else None


rule tables:
    input:
        scores=scores(),
        treatments=treatments(),
        analyses=analyses(),
        changed=unless_current(RESULTS / "tables" / SOURCES),
    output:
        [ensure(shown_table(path) if path.suffix == ".csv" else path, non_empty=True) for path in TABLES],
        RESULTS / "tables" / SOURCES,
    log:
        LOGS / "tables.log",
    benchmark:
        TIMES / "tables.tsv"
    group:
        GROUP_OF_PAGES
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
        "sgt tables {params.study:q} > {log:q} 2>&1"


rule figures:
    input:
        scores=scores(),
        treatments=treatments(),
        analyses=analyses(),
        changed=unless_current(RESULTS / "figures" / SOURCES),
    output:
        [ensure(shown_figure(name), non_empty=True) for name in FIGURES],
        [ensure(path, non_empty=True) for path in VECTOR_FIGURES],
        RESULTS / "figures" / SOURCES,
    log:
        LOGS / "figures.log",
    benchmark:
        TIMES / "figures.tsv"
    group:
        GROUP_OF_PAGES
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
        "sgt figures {params.study:q} > {log:q} 2>&1"


rule evidence:
    input:
        records(),
        scores(),
        treatments(),
        unless_current(RESULTS / EVIDENCE_FILE),
    output:
        RESULTS / EVIDENCE_FILE,
    log:
        LOGS / "evidence.log",
    benchmark:
        TIMES / "evidence.tsv"
    group:
        GROUP_OF_PAGES
    conda:
        "../envs/sgt.yaml"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=10,
    params:
        study=STUDY.path,
    message:
        "Evidence of study {STUDY.study.name}"
    shell:
        "sgt evidence {params.study:q} > {log:q} 2>&1"


rule report:
    input:
        scores=scores(),
        tables=TABLES,
        figures=[*(figure(name) for name in FIGURES), *VECTOR_FIGURES],
        preview=PREVIEW,
        changed=unless_current(RESULTS / "report" / SOURCES),
    output:
        ensure(RESULTS / "report" / "index.html", non_empty=True),
        RESULTS / "report" / SOURCES,
    log:
        LOGS / "report.log",
    benchmark:
        TIMES / "report.tsv"
    group:
        GROUP_OF_PAGES
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
        "sgt report {params.study:q} > {log:q} 2>&1"
