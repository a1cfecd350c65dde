"""Exchange files with a batch API: `--to openai-batch` writes requests, `--from openai-batch` reads results."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, replace
from pathlib import Path

from realqa_cli.cli.annotate_request import AnnotateRequest
from realqa_cli.cli.run_step import open_sources
from realqa_cli.domain.wording import plural
from realqa_cli.errors import ItemError, UsageError
from realqa_cli.io.sources import Item
from realqa_cli.steps.annotate.openai_batch import RequestFiles, Results, request_line
from realqa_cli.steps.annotate.photos import HashedPhoto, Request, hash_photo
from realqa_cli.steps.annotate.settings import DECIDING


def write_requests(request: AnnotateRequest, file: Path) -> int:
    """Write requests for the photos that the ledger of --output has no reply for, and return the exit code."""
    reporter, options = request.reporter, request.options
    model = request.model_name()
    items, total = open_sources(options, reporter, request.limit)
    done = request.is_done(model, resume=True) if options.output else lambda photo: False
    with reporter.bar("writing", total) as bar, RequestFiles(file, overwrite=options.overwrite) as files:
        sent, failed = _write(request, model, items, files, done, bar.advance)
    for path in files.names:
        reporter.say(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    more = f"; {plural(failed, 'photo')} failed" if failed else ""
    reporter.say(f"requests to {model}: {sent}, in files: {len(files.names)}{more}")
    return 1 if failed else 0


def _write(
    request: AnnotateRequest,
    model: str,
    items: Iterable[Item],
    files: RequestFiles,
    done: Callable[[HashedPhoto], bool],
    advance: Callable[..., None],
) -> tuple[int, int]:
    """(requests, failed photos). Photos with the same bytes share a request."""
    settings = request.settings
    spec = settings.request_spec(model)
    manifest = {"model": model, **{name: asdict(settings)[name] for name in DECIDING}}
    sent: set[str] = set()
    failed = 0
    for photo in map(hash_photo, items):
        advance(failed=failed)
        try:
            if photo.error is not None or photo.content is None:
                raise photo.error or ItemError("cannot be read", where=photo.item.name)
            if done(photo):
                continue
            key = spec.key(photo.content)
            if key not in sent:
                files.add_request(request_line(key, model, Request(photo, settings), settings))
                sent.add(key)
        except ItemError as error:
            request.reporter.say(str(error))
            failed += 1
            continue
        added = {"content": photo.content, "custom_id": key, "asked": manifest}
        files.add_photo({**photo.item.fields, photo.item.kind: photo.item.name, **added})
    return len(sent), failed


def read_results(request: AnnotateRequest, file: Path) -> int:
    """Write the records of a batch's results, for the sources or for the photos that the requests listed."""
    model, options = request.model, request.options
    results = Results.read(file, request.prices())
    lists = list(results.photo_lists(file if file.is_dir() else file.parent))
    if lists:
        manifest = lists[0][1].get("asked")
        if isinstance(manifest, dict) and {"model"} < manifest.keys() <= {"model", *DECIDING}:
            model = model or manifest["model"]
            listed = {name: manifest[name] for name in DECIDING if name in manifest and name not in request.explicit}
            request = replace(request, settings=replace(request.settings, **listed))
    if not model:
        raise UsageError("no model is named", where="--model", remedy="name the model of the batch")
    if not options.sources and options.files_from is None:
        if not lists:
            what = "there is no list of photos next to it"
            raise UsageError(what, where=str(file), remedy="name the photos as SOURCES")
        options = replace(options, sources=[str(path) for path, _ in lists])
    client = request.client() if request.server is not None else None
    return request.label(model, client, options, results)
