"""The sentences of R2, the chain of thought in natural language: patterns for every level and attribute.

Paper Sec. 3.3 (format Q2-R2) shows an example only as a picture; these sentences are ours. A clause starts in
lower case and ends without a full stop, so that `critique` can open, join and end it. `{photo}` is a word for the
photo or video, `{n}` an integer score, `{v}` a class as `Attribute.phrase` gives it; every clause contains it.

Pure: `critique` selects and joins the clauses.
"""

from realqa_cli.domain.attributes import Level

PHOTO = {"image": ("image", "photo", "picture", "shot"), "video": ("video", "clip", "footage")}
"""Words for `{photo}`, by what is rated."""

LEVEL_SHOT = {"yes": "a level shot", "no": "not a level shot"}
"""The two classes of `level_shot` in prose, where a bare "yes" has no meaning."""

OPENINGS: dict[Level, tuple[str, ...]] = {
    "high": (
        "",
        "At first glance, ",
        "Taken as a whole, ",
        "Looking at the overall design, ",
        "From an aesthetic point of view, ",
        "In terms of overall effect, ",
    ),
    "middle": (
        "",
        "Turning to the content, ",
        "As for what is shown, ",
        "Looking more closely at the scene, ",
        "With regard to subject and background, ",
        "In terms of content, ",
    ),
    "low": (
        "",
        "On the technical side, ",
        "Technically, ",
        "As far as basic quality goes, ",
        "In terms of technical quality, ",
        "With regard to sharpness, light and color, ",
    ),
}
"""Openings before the first clause of a level."""

ADDITIONS = ("Besides, ", "Moreover, ", "In addition, ", "Furthermore, ", "Beyond that, ")
"""Openings of later sentences of the same level."""

LAST_LEVEL = ("Finally, ", "Last, ")

AGREEING = (", and ", "; ", ", and ")
"""Joints of two clauses with the same merit, or with a neutral one."""

DISAGREEING = (", but ", ", while ", ", yet ", ", whereas ", "; however, ")
"""Joints of a merit and a flaw."""

CLOSINGS = (
    "",
    "",
    "Taking all of this together gives the verdict.",
    "All these points are weighed in the result.",
    "These observations lead to the overall rating.",
    "Weighing high-level, middle-level and low-level aspects gives the result.",
    "The rating follows from these points.",
    "On balance, the rating is as follows.",
)
"""Sentences before the final one. None of them judges; only the number does."""

SCORES: dict[str, tuple[str, ...]] = {
    "composition": (
        "the composition scores {n} out of 10",
        "the composition deserves {n} out of 10",
        "the composition is worth {n} out of 10 points",
        "the arrangement of the elements earns a composition score of {n}",
        "a composition score of {n} out of 10 is appropriate",
        "the framing and arrangement rate {n} out of 10 for composition",
        "as a composition, the {photo} rates {n} out of 10",
        "on composition, the {photo} gets {n} out of 10",
        "on a ten-point scale, the composition reaches {n}",
        "for composition, {n} out of 10 seems right",
        "the composition can be put at {n} out of 10",
        "the composition score comes to {n}",
        "the way the frame is organized merits {n} out of 10 for composition",
    ),
    "eye_catching": (
        "the {photo} scores {n} out of 10 for eye-catching appeal",
        "its eye-catching quality rates {n} out of 10",
        "the eye-catching score is {n}",
        "as an eye-catcher, the {photo} earns {n} out of 10",
        "on a ten-point scale, the eye-catching appeal reaches {n}",
        "the power to catch the eye is worth {n} out of 10",
        "for its eye-catching content, the {photo} gets {n} out of 10",
        "the eye-catching effect comes to {n} out of 10",
        "an eye-catching score of {n} out of 10 is appropriate",
        "the strength with which the {photo} catches the eye merits {n} out of 10",
        "the attraction of the content leads to an eye-catching score of {n}",
        "the eye-catching appeal can be put at {n} out of 10",
    ),
}

REASON_AFTER = (
    "{clause}: {reason}.",
    "{clause}, for this reason: {reason}.",
    "{clause}. The reason: {reason}.",
    "{clause}, judged as follows: {reason}.",
    "{clause}, and this is why: {reason}.",
)
"""Frames for a reason of any form, sentence or not."""

REASON_BEFORE = ("Therefore, ", "For this reason, ", "Hence, ", "Accordingly, ", "As a result, ", "So ")
"""Words between a reason that is a sentence and its score."""

SUBJECT_AND_BACKGROUND = (
    'the {photo} has "{subject}" as its subject and "{background}" as its background',
    'the subject can be described as "{subject}" and the background as "{background}"',
    'the subject is "{subject}" and the background is "{background}"',
    'the main subject ("{subject}") is set against its background ("{background}")',
    'the subject here, "{subject}", stands before a background of "{background}"',
    'the scene consists of "{subject}" as the subject and "{background}" as the background',
)
SUBJECT_AND_BACKGROUND_PLAIN = (
    "the {photo} shows {subject} against {background}",
    "the subject is {subject}, and the background is {background}",
    "the view centers on {subject}, with {background} in the background",
    "the {photo} depicts {subject}, with {background} behind",
    "the main subject is {subject}, set against {background}",
    "the camera is turned to {subject}, with {background} as the background",
)
"""For texts that start with an article or another determiner: "a bee", "two dogs"."""
SUBJECT_ONLY = ('the subject is "{subject}"', 'the {photo} has "{subject}" as its subject')
BACKGROUND_ONLY = ('the background is "{background}"', 'the {photo} has "{background}" as its background')

INTEGRITY_GLOSS = {
    "incomplete": "being mostly cut off or obscured",
    "partially complete": "being slightly cut off or obscured",
    "fully complete": "with no cuts or obstructions at all",
}

CLASSES: dict[str, tuple[str, ...]] = {
    "subject_integrity": (
        "the subject is {v}",
        "the subject appears {v}",
        "the main subject is {v} in the frame",
        "within the frame, the subject is {v}",
        "the subject looks {v}",
        "the frame leaves the subject {v}",
        "as to integrity, the subject is {v}",
        "the subject is shown {v}",
        "the subject is {v}, {gloss}",
        "the main subject appears {v}, {gloss}",
    ),
    "subject_clutter": (
        "the subject itself is {v}",
        "the subject area looks {v}",
        "the arrangement of the subject is {v}",
        "the elements of the subject look {v}",
        "in itself, the subject is {v}",
        "the subject matter appears {v}",
        "the subject gives {an} {v} impression",
        "as to order, the subject is {v}",
        "the main subject comes across as {v}",
    ),
    "background_clutter": (
        "the background is {v}",
        "the background looks {v}",
        "the background appears {v}",
        "the scenery in the background is {v}",
        "behind the subject, the background is {v}",
        "the background gives {an} {v} impression",
        "as to order, the background is {v}",
        "the background comes across as {v}",
        "the surrounding background is {v}",
    ),
    "level_shot.yes": (
        "this is {v}",
        "the {photo} is {v}",
        "the camera was held straight, so this is {v}",
        "the lines of the scene run straight, which makes this {v}",
        "with no visible tilt, this is {v}",
        "the viewpoint is upright and the result is {v}",
        "the {photo} can be called {v}",
        "taken straight, the {photo} is {v}",
    ),
    "level_shot.no": (
        "this is {v}",
        "the {photo} is {v}",
        "the camera was tilted, so this is {v}",
        "the lines of the scene lean to one side, and this is {v}",
        "with a visible tilt, this is {v}",
        "the viewpoint is tilted and the result is {v}",
        "the {photo} is tilted and {v}",
        "taken at an angle, the {photo} is {v}",
    ),
    "image_clarity": (
        "the {photo} is {v}",
        "the {photo} looks {v}",
        "the details are {v}",
        "in terms of clarity, the {photo} is {v}",
        "as for clarity, the {photo} is {v}",
        "fine structures appear {v}",
        "the rendering of details is {v}",
        "the content comes out {v}",
        "the focus leaves the {photo} {v}",
        "the clarity is such that the {photo} looks {v}",
        "edges and textures are {v}",
    ),
    "exposure": (
        "the {photo} is {v}",
        "the {photo} looks {v}",
        "the scene is {v}",
        "in terms of exposure, the {photo} is {v}",
        "as for exposure, the {photo} is {v}",
        "the exposure leaves the {photo} {v}",
        "the light in the {photo} makes it look {v}",
        "the frame is {v}",
        "the brightness suggests that the {photo} is {v}",
        "the scene comes out {v}",
        "highlights and shadows show that the {photo} is {v}",
    ),
    "saturation": (
        "the colors have {v}",
        "the colors show {v}",
        "the {photo} has {v}",
        "the palette shows {v}",
        "the color reproduction has {v}",
        "the hues are rendered with {v}",
        "in terms of color, the {photo} has {v}",
        "as for color, there is {v}",
        "the {photo} displays colors of {v}",
        "the tones are presented with {v}",
        "the coloring is marked by {v}",
    ),
}
"""Clauses by attribute; those of `level_shot` differ by class. `{an}` is the article of `{v}`."""
