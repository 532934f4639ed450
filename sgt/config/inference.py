"""How answers are decoded and images are sampled: the same options for all families and benchmarks."""

from typing import Literal

from pydantic import Field, model_validator

from sgt.config.fields import Count, Probability, Seed, Strict
from sgt.config.recipe import TimeShift

Solver = Literal["euler", "dpmsolver++"]


class DecodingOptions(Strict):
    """How answers are decoded."""

    max_new_tokens: Count = Field(description="tokens after which an answer is cut off")
    temperature: float = Field(0.0, ge=0, description="0 takes the most likely token, else tokens are drawn")
    seed: Seed = Field(0, description="of the draws")
    system: str | None = Field(None, description="a text before the images, such as one that asks for thinking")


class SamplingOptions(Strict):
    """How images are sampled."""

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
    def _guided_somewhere(self) -> "SamplingOptions":
        low, high = self.cfg_interval
        if low > high:
            raise ValueError(f"cfg_interval: {low} is above {high}: swap them")
        return self


class EditSamplingOptions(SamplingOptions):
    """How edits are sampled, which are guided by the image that is edited too."""

    cfg_image_scale: float = Field(
        1.0, ge=1, description="scale of classifier-free guidance by the image; 1: no guidance"
    )
    renorm: Literal["global", "channel", "text_channel"] = Field(
        "global", description="how BAGEL rescales a guided velocity"
    )
    renorm_min: Probability = Field(0.0, description="lower bound of that rescaling; 1 switches it off")
