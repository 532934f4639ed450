"""COCO's 80 classes of objects as GenEval calls them, in COCO's order, with other spellings that detectors use."""

OTHER_SPELLINGS = {
    "motorcycle": ("motorbike",),
    "airplane": ("aeroplane",),
    "donut": ("doughnut",),
    "couch": ("sofa",),
    "tv": ("tv monitor", "television"),
    # GenEval's own names of three classes, so that prompts cannot be misread.
    "computer mouse": ("mouse",),
    "tv remote": ("remote",),
    "computer keyboard": ("keyboard",),
    "hair drier": ("hair dryer",),
}
_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella, handbag,
tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard, surfboard,
tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange, broccoli, carrot,
hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv, laptop, computer mouse,
tv remote, computer keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase, scissors,
teddy bear, hair drier, toothbrush
"""
# Name of each class → its other spellings.
CLASSES: dict[str, tuple[str, ...]] = {
    name: OTHER_SPELLINGS.get(name, ()) for name in " ".join(_NAMES.split()).split(", ")
}
