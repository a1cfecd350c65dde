"""The modes of `realqa annotate`: ask a server, estimate the cost, or exchange files with a batch API or people."""

import json
import sys
from pathlib import Path

from realqa_cli.cli.annotate_batch import read_results, write_requests
from realqa_cli.cli.annotate_people import People
from realqa_cli.cli.annotate_request import BATCH, AnnotateRequest
from realqa_cli.cli.delivery import open_sources
from realqa_cli.errors import UsageError


def run(request: AnnotateRequest) -> int:
    """Runs the requested mode and returns the exit code. Raises UsageError."""
    if request.given("dry_run"):
        if request.to or request.from_:
            raise UsageError("is for asking", where="--dry-run", remedy="leave --to and --from out")
        return _estimate(request)
    match request.to, request.from_:
        case (str(form), Path() as file), None:
            return write_requests(request, file) if form == BATCH else _people(request).write_tasks(file)
        case None, (str(form), Path() as file):
            return read_results(request, file) if form == BATCH else _people(request).read_export(file)
    return _ask(request)


def _ask(request: AnnotateRequest) -> int:
    request.wanted.check()
    client = request.client()
    return request.label(client.model, client, request.wanted)


def _estimate(request: AnnotateRequest) -> int:
    from realqa_cli.steps.annotate.estimate import estimate_cost

    request.wanted.check()
    model = request.named()
    price = request.settings.price(model, request.prices())
    items, total = open_sources(request.wanted, request.talk, request.given("limit"))
    done = request.has(model, resume=request.wanted.resume)
    with request.talk.bar("counting", total):
        found = estimate_cost(items, request.settings, model, price, done)
    sys.stdout.write(json.dumps(found.as_json()) + "\n")
    request.talk.say(str(found))
    return 1 if found.failed else 0


def _people(request: AnnotateRequest) -> People:
    return People(request.wanted, request.talk, request.given("image_root"), request.given("image_url"))
