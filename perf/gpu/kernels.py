"""Where the time of a training step goes: by class of kernel, and the three largest losses.

Forward and backward are profiled apart from the update, so that kernels of the optimizer are not mistaken for those of
the layers. A loss is time beyond what the arithmetic takes at the device's peak: all of a class that is no arithmetic,
and of matrix products what exceeds their operations over the peak. On the CPU, whose peak is not known, products and
attention count none.
"""

import re
import time
from collections.abc import Iterator

import torch
from torch.profiler import ProfilerActivity, profile

from perf.gpu.rows import Row
from perf.gpu.setting import Setting, synchronize
from perf.gpu.training import Training, prepare
from perf.train_step import PEAK_FLOPS

STEP = "profile"
# By what the name of a kernel (or, on the CPU, of an operation) contains; the first that fits counts.
CLASSES = (
    ("attention", r"flex|flash|fmha|attention|tem_fused"),
    ("convolution", r"conv|cudnn|implicit|winograd"),
    ("matrix products", r"gemm|nvjet|cutlass|cublas|xmma|splitk|::mm|addmm|matmul|::bmm|linear"),
    ("copies and indexing", r"memcpy|memset|copy|index|gather|scatter|embedding|cat|::select|::slice|pad"),
    ("norms and reductions", r"norm|reduce|softmax|triton_red|triton_per|::sum|::mean|amax"),
    ("random numbers", r"distribution|random|philox"),
    ("elementwise", r"elementwise|triton_poi|::mul|::add|::silu|::pow|::div|::sub|unrolled"),
)
ARITHMETIC = ("attention", "matrix products")
TOP = 15


def profile_step(setting: Setting) -> Iterator[Row]:
    """Shares of a step of BAGEL by class, its largest kernels, and the largest losses."""
    training = prepare(setting, setting.bagel, setting.recipe(), setting.short_pack)
    training.loss().backward()
    training.update()
    wall, kernels = profiled(setting, lambda: training.loss().backward())
    update_wall, update_kernels = profiled(setting, training.update)
    classes: dict[str, float] = {}
    for name, seconds in kernels.items():
        classes[class_of(name)] = classes.get(class_of(name), 0.0) + seconds
    # With the profiler on; kernels of several streams may overlap.
    classes["idle"] = max(0.0, wall - sum(kernels.values()))
    classes["update"] = max(update_wall, sum(update_kernels.values()))
    total = sum(classes.values())
    by_size = dict(sorted(classes.items(), key=lambda item: -item[1]))
    yield Row(STEP, "share of a step", {name: seconds / total for name, seconds in by_size.items()})
    largest = sorted(kernels.items(), key=lambda item: -item[1])[:TOP]
    yield Row(STEP, "seconds of the largest kernels", {name[:60]: seconds for name, seconds in largest})
    lost = losses(setting, training, classes)
    for place, (name, seconds) in enumerate(sorted(lost.items(), key=lambda item: -item[1])[:3], 1):
        yield Row(STEP, f"loss {place}: {name}", {"seconds": seconds, "share": seconds / total})


def profiled(setting: Setting, work) -> tuple[float, dict[str, float]]:
    """Seconds of some work, and of each kernel (on the CPU: operation) by name."""
    on_gpu = setting.device.type == "cuda"
    synchronize(setting.device)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as found:
        began = time.perf_counter()
        work()
        synchronize(setting.device)
        wall = time.perf_counter() - began
    attribute = "self_device_time_total" if on_gpu else "self_cpu_time_total"
    return wall, {event.key: getattr(event, attribute) / 1e6 for event in found.key_averages()}


def class_of(name: str) -> str:
    """The class of a kernel."""
    lower = name.lower()
    return next((which for which, pattern in CLASSES if re.search(pattern, lower)), "other")


def losses(setting: Setting, training: Training, classes: dict[str, float]) -> dict[str, float]:
    """Seconds of each class beyond what its arithmetic takes."""
    lost = {name: seconds for name, seconds in classes.items() if name not in ARITHMETIC}
    if setting.device.type == "cuda":
        peak = next((peak for part, peak in PEAK_FLOPS.items() if part in torch.cuda.get_device_name()), None)
        if peak:
            spent = sum(classes.get(name, 0.0) for name in ARITHMETIC)
            lost["products and attention below the peak, recomputation in them"] = spent - training.flops / peak
    return lost
