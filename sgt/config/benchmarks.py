"""``config/benchmarks/NAME.yaml``: questions or prompts with a protocol."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sgt.config.fields import Count, Name, Probability, Seed, Strict
from sgt.config.recipe import TimeShift

Solver = Literal["euler", "dpmsolver++"]
# What a proxy arm draws lies in a folder of this name, beside those of the benchmarks.
TARGETS = "targets"


class QuestionProtocol(Strict):
    """Questions with one right answer, answered greedily and matched exactly after normalisation."""

    kind: Literal["questions"]
    max_new_tokens: Count = Field(8, description="tokens after which an answer is cut off")
    system: str | None = Field(None, description="a text before the image, such as one that asks for thinking")


class GenerationProtocol(Strict):
    """Prompts turned into images, which an evaluator reads."""

    kind: Literal["generation"]
    prompts: Count = Field(description="how many prompts, one per scene from the first")
    num_steps: Count = Field(description="steps of the sampler")
    cfg_text_scale: float = Field(
        4.0, ge=1, description="scale of classifier-free guidance by the prompt; 1: no guidance"
    )
    cfg_interval: tuple[Probability, Probability] = Field(
        (0.4, 1.0), description="times at which guidance acts, above the first and up to the second; 1 is noise"
    )
    timestep_shift: TimeShift = Field(3.0, description="of the sampler's times, as in a recipe")
    solver: Solver = Field("euler", description="of the flow's differential equation")
    negative_prompt: str | None = Field(
        None, description="what OmniGen2 guides away from; none is the dropped prompt of its training"
    )
    seed: Seed = Field(0, description="of the noise that sampling starts from")
    system: str | None = Field(None, description="a text before the prompt that asks for a thought, which is read too")
    think_tokens: Count = Field(1000, description="after which a thought is cut off")

    @model_validator(mode="after")
    def _guided_somewhere(self) -> "GenerationProtocol":
        low, high = self.cfg_interval
        if low > high:
            raise ValueError(f"cfg_interval: {low} is above {high}: swap them")
        return self


class Benchmark(Strict):
    """``config/benchmarks/NAME.yaml``: questions or prompts with a protocol."""

    name: Name = Field(description="as in the file's name")
    version: Count = Field(description="to be raised when the questions or the protocol change")
    dataset: Name = Field(description="dataset of the study that the rows come from")
    protocol: QuestionProtocol | GenerationProtocol = Field(
        discriminator="kind", description="how the rows are put to a model"
    )
    groups: dict[Name, Annotated[list[str], Field(min_length=1)]] = Field(
        {}, description="kinds of question that are also scored together, by name of the group"
    )

    @model_validator(mode="after")
    def _own_folder(self) -> "Benchmark":
        if self.name == TARGETS:
            raise ValueError(f"name: {TARGETS!r} is the folder of what proxy arms draw: rename the benchmark")
        return self

    @model_validator(mode="after")
    def _groups_of_questions(self) -> "Benchmark":
        if self.groups and self.protocol.kind != "questions":
            raise ValueError("groups: only questions have kinds: remove it")
        return self
