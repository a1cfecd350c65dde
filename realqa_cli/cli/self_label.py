"""The door of `realqa self-label`: photos in, attribute records out."""

from dataclasses import fields

import typer

from realqa_cli.cli import options as o
from realqa_cli.cli.console import Talk

EXAMPLES = """[b]Examples[/b]

realqa self-label photos/ > attrs.jsonl

realqa self-label photos/ -o attrs.jsonl --model my-scorer

realqa self-label photos/ | jq .attributes.image_clarity
"""


def self_label(
    context: typer.Context,
    sources: o.Sources,
    model: o.Model = None,
    adapter: o.Adapter = None,
    revision: o.Revision = None,
    trust_remote_code: o.TrustRemoteCode = False,
    backend: o.Backend = None,
    device: o.Device = None,
    dtype: o.Dtype = None,
    quantize: o.Quantize = None,
    batch_size: o.BatchSize = None,
    min_pixels: o.MinPixels = None,
    max_pixels: o.MaxPixels = None,
    reasons: o.Reasons = False,
    limit: o.Limit = None,
    output: o.Output = None,
    no_resume: o.NoResume = False,
    overwrite: o.Overwrite = False,
    quiet: o.Quiet = False,
) -> int:
    """Label photos with the ten attributes, and say how sure the model is of each."""
    from realqa_cli.cli.delivery import Delivery, Wanted
    from realqa_cli.self_label import Labeller, LabelSettings
    from realqa_cli.sources import count_sources, read_sources

    talk = Talk(quiet or bool(context.obj))
    wanted = Wanted(output, not no_resume, overwrite, json=True, top=None, report=None)
    wanted.check()
    given = {field.name: context.params[field.name] for field in fields(LabelSettings)}
    settings = LabelSettings(**{name: value for name, value in given.items() if value is not None})
    items = read_sources(sources, limit=limit)
    with talk.bar("loading the model", count_sources(sources, limit=limit)) as bar:
        with Delivery(wanted, talk, bar, did="labelled") as delivery:
            labeller = Labeller(settings)
            delivery.begin(labeller.manifest)
            delivery.take(labeller.records(items, done=delivery.done))
        return delivery.finish()
