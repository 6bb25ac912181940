"""What people write in place of the world's own words: synonyms of names, places, relations, and lead-ins.

This file knows only phrases that mean exactly what a word of the world means, so that a reader may replace
one by the other. Words that are merely near ("mug" for "cup") are suggested in errors and never replaced. It
refuses to know what a sentence is; nothing here is ever written by the world.
"""

from __future__ import annotations

# COCO's names where GenEval has others, British and American words, and spellings.
CLASS_SYNONYMS: dict[str, tuple[str, ...]] = {
    "person": ("human", "human being"),
    "bicycle": ("bike", "pushbike", "push bike"),
    "car": ("automobile", "motor car", "motorcar"),
    "motorcycle": ("motorbike", "motor bike", "motor cycle"),
    "airplane": ("aeroplane", "plane", "air plane"),
    "truck": ("lorry",),
    "traffic light": ("traffic signal", "stoplight", "stop light"),
    "fire hydrant": ("hydrant",),
    "backpack": ("rucksack", "knapsack", "back pack"),
    "umbrella": ("brolly",),
    "handbag": ("hand bag",),
    "tie": ("necktie", "neck tie"),
    "suitcase": ("suit case",),
    "frisbee": ("flying disc", "flying disk"),
    "snowboard": ("snow board",),
    "sports ball": ("sport ball",),
    "baseball glove": ("baseball mitt",),
    "skateboard": ("skate board",),
    "surfboard": ("surf board",),
    "tennis racket": ("tennis racquet",),
    "wine glass": ("wineglass",),
    "hot dog": ("hotdog",),
    "donut": ("doughnut",),
    "couch": ("sofa", "settee"),
    "potted plant": ("houseplant", "house plant", "pot plant"),
    "dining table": ("dinner table", "dining room table"),
    "toilet": ("loo", "lavatory"),
    "tv": ("television", "telly", "tv set", "television set"),
    "laptop": ("laptop computer", "notebook computer"),
    "computer mouse": ("mouse",),
    "tv remote": (
        "remote",
        "remote control",
        "tv remote control",
        "television remote",
        "television remote control",
    ),
    "computer keyboard": ("keyboard",),
    "cell phone": (
        "cellphone",
        "cellular phone",
        "mobile",
        "mobile phone",
        "phone",
        "smartphone",
        "smart phone",
    ),
    "microwave": ("microwave oven",),
    "refrigerator": ("fridge",),
    "teddy bear": ("teddy", "teddybear"),
    "hair drier": ("hair dryer", "hairdryer", "hairdrier", "blow dryer", "blow drier"),
    "toothbrush": ("tooth brush",),
}
OTHER_PLURALS = {
    "busses": "bus",
    "mice": "computer mouse",
    "teddies": "teddy bear",
    "lorries": "truck",
    "tellies": "tv",
    "brollies": "umbrella",
    "lavatories": "toilet",
    "broccoli": "broccoli",
}
# Near, but not the same: suggested, never read.
NEAR_WORDS = {
    "mug": "cup",
    "ball": "sports ball",
    "bat": "baseball bat",
    "glove": "baseball glove",
    "racket": "tennis racket",
    "racquet": "tennis racket",
    "glass": "wine glass",
    "plant": "potted plant",
    "table": "dining table",
    "light": "traffic light",
    "sign": "stop sign",
    "meter": "parking meter",
    "telephone": "cell phone",
    "stove": "oven",
    "cooker": "oven",
    "computer": "laptop",
    **dict.fromkeys(("man", "men", "woman", "women", "child", "children", "boy", "girl", "kid"), "person"),
    **dict.fromkeys(("puppy", "puppies"), "dog"),
    **dict.fromkeys(("kitten", "kittens"), "cat"),
    **dict.fromkeys(("football", "basketball", "soccer"), "sports ball"),
    "purse": "handbag",
    "ski": "pair of skis",
    "violet": "purple",
    "on top of": "above",
    "onto": "above",
    "atop": "above",
    "beside": "left of' or 'right of",
    "near": "left of' or 'right of",
    "next": "left of' or 'right of",
}
REGION_SYNONYMS = {
    "top left": "upper left",
    "top right": "upper right",
    "bottom left": "lower left",
    "bottom right": "lower right",
    "middle": "center",
    "centre": "center",
}
BACKGROUND_SYNONYMS = {"grey": "gray"}
RELATION_SYNONYMS = {
    **{
        f"{before} the {side}{after} of": f"{side} of"
        for before in ("to", "on")
        for side in ("left", "right")
        for after in ("", " side", " hand side")
    },
    "over": "above",
    "under": "below",
    "beneath": "below",
    "underneath": "below",
}
CONJUNCTIONS = (", and", ",", "and", "as well as", "along with", "together with")
# Of a lead-in, in this order, each may be left out: "please" "show me" "a picture of".
POLITE = ("can you please", "could you please", "can you", "could you", "please")
REQUESTS = (
    "show me",
    "show us",
    "show",
    "draw me",
    "draw",
    "paint me",
    "paint",
    "make me",
    "make",
    "create",
    "generate",
    "render",
    "sketch",
    "give me",
    "i want",
    "i would like",
    "i'd like",
    "there is",
    "there are",
    "there's",
    "there're",
    "here is",
    "here are",
)
PICTURES = (
    "photo",
    "photograph",
    "picture",
    "pic",
    "image",
    "drawing",
    "painting",
    "illustration",
    "sketch",
    "scene",
    "snapshot",
    "rendering",
)
HOLDING = ("of", "with", "showing", "containing", "depicting", "that shows")
