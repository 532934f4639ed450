"""What a study file may choose about a proxy."""

from pydantic import Field

from sgt.config.fields import Count, Strict


class Rendering(Strict):
    """What one job that renders a shard of targets needs; the workflow passes it to the scheduler."""

    gpu: int = Field(0, ge=0, le=1, description="1 if a model makes the target on a GPU")
    threads: Count = Field(1, description="CPU threads")
    mem_mb: Count = Field(2000, description="host memory, MB")
    runtime: Count = Field(120, description="time limit, minutes")


class ProxyOptions(Strict):
    """The task, and what rendering needs; each proxy's ``Options`` adds what can be chosen about the task."""

    task: str
    # It decides no target: dumps, which identities and recorded commands are made of, leave it out.
    render: Rendering = Field(Rendering(), exclude=True, description="what a job of rendering needs")
