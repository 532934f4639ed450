"""Evidence as an RO-Crate: the results folder of a study becomes a package that other tools read.

`RO-Crate 1.1 <https://w3id.org/ro/crate/1.1>`_ describes a folder in ``ro-crate-metadata.json``; each step is an action
with its inputs and results, as the profile `Process Run Crate <https://w3id.org/ro/wfrun/process/0.5>`_ has it.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rocrate.model.contextentity import ContextEntity
from rocrate.model.entity import Entity
from rocrate.rocrate import ROCrate

from sgt.reporting.evidence.schema import Cell, Code, Evidence, Work
from sgt.study.loaded import LoadedStudy
from sgt.study.results import EVIDENCE_FILE

VERSION = "1.1"
PROFILE = "https://w3id.org/ro/wfrun/process/0.5"


def write_crate(study: LoadedStudy, evidence: Evidence) -> Path:
    """Write ``ro-crate-metadata.json`` into a study's results; returns its path."""
    crate = _Crate(study)
    crate.describe(evidence)
    crate.crate.metadata.write(study.results)
    return study.results / crate.crate.metadata.id


class _Crate:
    """Adds entities to a crate whose root is the results folder."""

    def __init__(self, study: LoadedStudy) -> None:
        self.root = study.results
        self.crate = ROCrate(version=VERSION)
        self.crate.metadata.extra_terms["sha256"] = "https://schema.org/sha256"
        self._files: dict[str, Entity] = {}
        self._software: dict[str, Entity] = {}

    def describe(self, evidence: Evidence) -> None:
        """Add everything that evidence is about."""
        crate, name = self.crate, evidence.study.name
        crate.root_dataset["conformsTo"] = crate.add(
            ContextEntity(crate, PROFILE, {"@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5"})
        )
        crate.name, crate.description = f"sgt: study {name}", f"Results of study {name}, with the evidence of each cell"
        crate.datePublished = (
            datetime.fromtimestamp((self.root / EVIDENCE_FILE).stat().st_mtime, UTC).date().isoformat()
        )
        licences = sorted({dataset.licence for dataset in evidence.datasets.values() if dataset.licence})
        crate.license = f"of the data: {', '.join(licences) or 'not known'}"
        self.file(str(self.root / EVIDENCE_FILE))
        config, bases = self.files(evidence.study.files), {}
        for model, base in evidence.bases.items():
            bases[model] = self.files(base.files)
        data = {each: self.files(dataset.files) for each, dataset in evidence.datasets.items()}
        for each, dataset in evidence.datasets.items():
            self.action(f"data/{each}", dataset.commands, config, data[each])
        targets = {each: self.files(rendered.files) for each, rendered in evidence.targets.items()}
        for each, rendered in evidence.targets.items():
            self.action(f"render/{each}", rendered.commands, data[rendered.dataset], targets[each])
        checkpoints = {}
        for each, run in evidence.runs.items():
            given = [*bases[run.model], *data.get(run.questions or "", []), *data.get(run.images or "", [])]
            given += targets.get(run.targets or "", [])
            checkpoints[each] = self.files(run.checkpoint.files)
            made = [*(checkpoints[each] if run.steps else []), self.file(run.record.path, run.record.sha256)]
            self.action(f"train/{each}", [run.work.command], [*config, *given], made, run.work)
        for each, evaluation in evidence.evaluations.items():
            predicted, scored = evaluation.predictions, evaluation.scores
            answers = [self.file(predicted.path, predicted.sha256)]
            given = [*checkpoints[evaluation.run], *data.get(evaluation.data.dataset or "", [])]
            self.action(f"predict/{each}", [predicted.work.command], given, answers, predicted.work)
            if judged := evaluation.judgements:
                judgements = [self.file(judged.path, judged.sha256)]
                self.action(f"judge/{each}", [judged.work.command], answers, judgements, judged.work)
                answers = judgements
            scores = [self.file(scored.record.path, scored.record.sha256)]
            self.action(f"score/{each}", [scored.work.command], answers, scores, scored.work)
        for each, check in evidence.treatments.items():
            made = [self.file(check.record.path, check.record.sha256), self.file(check.path, check.sha256)]
            given = [*checkpoints[check.run], *data.get(check.data.dataset or "", [])]
            self.action(f"treatment/{each}", [check.work.command], given, made, check.work)
        crate.root_dataset["variableMeasured"] = [
            self.number(evidence, cell) for cell in evidence.cells if "main" in cell.tables
        ]

    def file(self, path: str, digest: str | None = None) -> Entity:
        """A file of the results; one that lies elsewhere is described, and is no part of the crate."""
        if path not in self._files:
            about: dict[str, Any] = {"name": path, **({"sha256": digest} if digest else {})}
            if Path(path).is_relative_to(self.root):
                entity = self.crate.add_file(dest_path=Path(path).relative_to(self.root), properties=about)
            else:
                entity = self.crate.add(ContextEntity(self.crate, f"#{path}", {"@type": "CreativeWork", **about}))
            self._files[path] = entity
        return self._files[path]

    def files(self, files: Mapping[str, str]) -> list[Entity]:
        """Files with their SHA-256."""
        return [self.file(path, digest) for path, digest in files.items()]

    def action(
        self,
        name: str,
        commands: Iterable[str],
        given: list[Entity],
        made: list[Entity],
        work: Work | None = None,
    ) -> None:
        """A step: what it was given, what it made, and by which commands."""
        about = {"name": name, "description": "\n".join(commands)}
        self.crate.add_action(self.software(work.code if work else None), f"#{name}", given, made, about)

    def software(self, code: Code | None) -> Entity:
        """The program at a revision; of a step whose record has none, at an unknown one."""
        revision = (code and code.revision) or "unknown"
        state = " with uncommitted changes" if code and code.clean is False else ""
        version = f"{revision}{state}"
        if version not in self._software:
            about = {"@type": "SoftwareApplication", "name": "sgt", "softwareVersion": version}
            identifier = f"#sgt-{version.replace(' ', '-')}"
            self._software[version] = self.crate.add(ContextEntity(self.crate, identifier, about))
        return self._software[version]

    def number(self, evidence: Evidence, cell: Cell) -> Entity:
        """A number of the main table, with the files that it is from."""
        number, records = cell.number, [evidence.evaluations[name].scores.record for name in cell.evaluations]
        records += [evidence.treatments[name].record for name in cell.treatments]
        about = {
            "@type": "PropertyValue",
            "name": f"{cell.row} {cell.column}",
            "value": number.value,
            "minValue": number.low,
            "maxValue": number.high,
            "description": "minValue and maxValue are the bounds of the 95% interval",
            "isBasedOn": [self.file(record.path, record.sha256) for record in records],
        }
        known = {key: value for key, value in about.items() if value is not None}
        return self.crate.add(ContextEntity(self.crate, f"#main/{cell.row}/{cell.column.replace(' ', '/')}", known))
