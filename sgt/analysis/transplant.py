"""Making a transplant: a checkpoint with some parts from one run and everything else from another.

If what post-training changed in a part carries an effect, the effect moves with the part.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from sgt.config.fields import Precision
from sgt.config.recipe import Part
from sgt.environment import environment
from sgt.errors import SgtError
from sgt.identity import write_record
from sgt.models.registry import load_model, weight_hashes, weights_sha256
from sgt.models.unified import UnifiedModel
from sgt.revision import code_revision
from sgt.study.loaded import LoadedStudy
from sgt.study.record import checkpoint_of
from sgt.study.results import Results, require_current
from sgt.study.runs import Run
from sgt.training.finished import RECORD, final_weights

# What checkpoints store: loading and saving changes no bit.
STORED: Precision = "bf16"


def transplant(study: LoadedStudy, run: Run, command: str) -> None:
    """Write ``final/`` and ``run.json`` of a transplant, from which it is evaluated as every run is.

    Args:
        study: has both runs.
        run: one of its transplants.
        command: the command line, for the record.

    Raises:
        SgtError: the run is no transplant; or one of the two runs is missing, or not that of the study as it is.
    """
    if run not in study.transplant_runs:
        names = ", ".join(study.study.transplants) or "the study has none"
        raise SgtError(run.id, "is no transplant", f"choose one ({names}), or run `sgt train`")
    spec, folder = study.models[run.model], study.run_dir(run)
    torch.set_num_threads(spec.predict.threads)
    into, donor = study.transplanted(run)
    results = Results(study)
    require_current(results.run(into), results.run(donor))
    identity = results.run(run).wanted()
    cpu = torch.device("cpu")
    about = study.study.transplants[run.arm]
    taken = weights_of_parts(load_model(spec, checkpoint_of(study, donor), STORED, cpu), about.parts)
    model = load_model(spec, checkpoint_of(study, into), STORED, cpu)
    with final_weights(folder) as final:
        model.save_checkpoint(final, {**model.network.state_dict(), **taken})
    files = weight_hashes(spec, folder / "final")
    record = {
        "id": run.id,
        "model": run.model,
        "arm": run.arm,
        "seed": run.seed,
        "code": code_revision(),
        "environment": environment(),
        "command": command,
        "identity": identity,
        "steps": 0,
        "transplant": {"into": into.id, "parts_from": donor.id, "parts": about.parts},
        "checkpoint": str(folder / "final"),
        "checkpoint_sha256": weights_sha256(files),
        "files": files,
    }
    write_record(folder / RECORD, record)


def weights_of_parts(model: UnifiedModel, parts: Sequence[Part]) -> dict[str, Tensor]:
    """The weights that belong to some parts of a model, by name."""
    return {name: value for name, value in model.network.state_dict().items() if model.part(name) in parts}
