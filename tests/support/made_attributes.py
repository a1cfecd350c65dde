"""A label with all ten attributes, and a Hypothesis strategy for labels."""

from typing import Any

from hypothesis import strategies as st

from realqa_cli.domain.attributes import ATTRIBUTES

RATINGS = st.fixed_dictionaries(
    {"score": st.integers(1, 10)},
    optional={"reason": st.text(max_size=80) | st.sampled_from(["Lines lead in.", "vivid"])},
)


SHOWN = st.fixed_dictionaries({}, optional={"subject": st.text(max_size=30), "background": st.text(max_size=30)})


labels = st.fixed_dictionaries(
    {},
    optional={
        key: RATINGS if a.kind == "rating" else SHOWN if a.kind == "text" else st.sampled_from(a.options)
        for key, a in ATTRIBUTES.items()
    },
)


FULL: dict[str, Any] = {
    "composition": {"score": 7, "reason": "The subject is well placed. Lines lead the eye."},
    "eye_catching": {"score": 6, "reason": "vivid colours"},
    "subject_background": {"subject": "a dog", "background": "the sea"},
    "subject_integrity": "fully complete",
    "subject_clutter": "uncluttered",
    "background_clutter": "moderately cluttered",
    "level_shot": "no",
    "image_clarity": "very clear",
    "exposure": "slightly overexposed",
    "saturation": "medium",
}
