"""The part of `realqa annotate` that trades files with a batch service: requests out, results in."""

from dataclasses import asdict, replace
from pathlib import Path

from realqa_cli.cli.annotate_request import AnnotateRequest
from realqa_cli.cli.delivery import open_sources
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.steps.annotate.openai_batch import RequestFiles, Results, request_line
from realqa_cli.steps.annotate.photos import Request, hash_photo
from realqa_cli.steps.annotate.settings import DECIDING


def write_requests(order: AnnotateRequest, file: Path) -> int:
    """`--to openai-batch FILE`: what is not in the ledger of --output yet, as files of requests."""
    settings, talk, wanted = order.settings, order.talk, order.wanted
    if not file.absolute().parent.is_dir():
        raise UsageError(f"no folder {file.parent}", where="--to", remedy="make it first")
    model = order.named()
    asked = settings.asked(model)
    items, total = open_sources(wanted, talk, order.given("limit"))
    done = order.has(model, resume=True) if wanted.output else None
    told = {"model": model, **{name: asdict(settings)[name] for name in DECIDING}}
    seen: set[str] = set()
    failed = 0
    with talk.bar("writing", total) as bar, RequestFiles(file, overwrite=wanted.overwrite) as files:
        for known in map(hash_photo, items):
            bar.advance(failed=failed)
            try:
                if known.error is not None or known.content is None:
                    raise known.error or ItemError("cannot be read", where=known.item.name)
                if done is not None and done(known):
                    continue
                key = asked.key(known.content)
                if key not in seen:
                    files.ask(request_line(key, model, Request(known, settings), settings))
                    seen.add(key)
            except ItemError as error:
                talk.say(str(error))
                failed += 1
                continue
            own = {"content": known.content, "custom_id": key, "asked": told}
            files.tell({**known.item.fields, known.item.kind: known.item.name, **own})
    for path in files.names:
        talk.say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    more = f"; {failed} photos failed" if failed else ""
    talk.say(f"requests to {model}: {len(seen)}, in files: {len(files.names)}{more}")
    return 1 if failed else 0


def read_results(order: AnnotateRequest, file: Path) -> int:
    """`--from openai-batch FILE`: results back to records, of SOURCES or of the photos that were listed."""
    order.wanted.check()
    model, wanted = order.given("model"), order.wanted
    results = Results.read(file, order.prices())
    lists = list(results.lists(file if file.is_dir() else file.parent))
    if lists:
        told = lists[0][1].get("asked")
        if isinstance(told, dict) and told.keys() == {"model", *DECIDING}:
            model = model or told.pop("model")
            chosen = {name: told[name] for name in DECIDING if not order.given(name)}
            order = replace(order, settings=replace(order.settings, **chosen))
    if not model:
        raise UsageError("no model is named", where="--model", remedy="name the one that the batch asked")
    if not wanted.sources:
        if not lists:
            what = "nothing beside it tells which photos it is about"
            raise UsageError(what, where=str(file), remedy="name the photos as SOURCES")
        wanted = replace(wanted, sources=[str(path) for path, _ in lists])
    client = order.client() if order.given("server") else None
    return order.label(model, client, wanted, results)
