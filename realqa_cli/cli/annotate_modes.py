"""The modes of `realqa annotate`: send requests, estimate the cost, or exchange files with a batch API or people."""

import json
import sys

from realqa_cli.cli.annotate_batch import read_results, write_requests
from realqa_cli.cli.annotate_people import read_refinements, write_label_studio
from realqa_cli.cli.annotate_request import AnnotateRequest
from realqa_cli.cli.exchange import BATCH
from realqa_cli.cli.run_step import open_sources


def run(request: AnnotateRequest) -> int:
    """Run the requested mode and return the exit code. Raises `UsageError`."""
    if request.dry_run:
        return _estimate(request)
    if request.write_to:
        form, file = request.write_to
        return write_requests(request, file) if form == BATCH else write_label_studio(request, file)
    if request.read_from:
        form, file = request.read_from
        return read_results(request, file) if form == BATCH else read_refinements(request, file)
    client = request.client()
    return request.label(client.model, client, request.options)


def _estimate(request: AnnotateRequest) -> int:
    """Print what a run would send and cost."""
    from realqa_cli.steps.annotate.estimate import estimate_cost

    model = request.model_name()
    price = request.settings.price(model, request.prices())
    items, total = open_sources(request.options, request.reporter, request.limit)
    done = request.is_done(model, resume=request.options.resume)
    with request.reporter.bar("counting", total):
        estimate = estimate_cost(items, request.settings, model, price, done)
    sys.stdout.write(json.dumps(estimate.as_json()) + "\n")
    request.reporter.say(str(estimate))
    return 1 if estimate.failed else 0
