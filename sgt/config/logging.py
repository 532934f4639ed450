"""Where the numbers of a training run go besides ``metrics.jsonl``; nothing here changes a result."""

from pydantic import Field

from sgt.config.fields import Strict


class Logging(Strict):
    """Optional dashboards."""

    tensorboard: bool = Field(False, description="write event files into each run's work folder")
    wandb: str | None = Field(None, description="Weights & Biases project")
