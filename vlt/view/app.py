"""The pages of `vlt view`: URLs in, HTML out. Every request reads afresh, so a run may be going on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import parse_qsl, quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from vlt.errors import UsageError, UserError
from vlt.grade.reasons import readable
from vlt.view import text
from vlt.view.guard import BODY, Guard, Refused, Token
from vlt.view.pages import Pages
from vlt.view.pictures import Pictures
from vlt.view.rows import Rows
from vlt.view.state import number
from vlt.workspace.flags import MARKS, Flag, Flags
from vlt.workspace.store import Dataset, Store

HERE = Path(__file__).parent
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
REF = 300
"""Maximum characters of a version's name; Python refuses to parse numbers of thousands of digits."""
NOTE = 2_000
"""Maximum characters of a note."""


def make_app(root: Path, first: str | None, port: int) -> Starlette:
    """The application for the workspace at `root`; `first` is the dataset it opens with."""
    store, token, pictures = Store(root), Token(), Pictures(Store(root).images_folder)
    templates = Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined
    )
    templates.filters.update(
        line=text.line, answer=text.answer, prose=text.prose, readable=readable
    )
    templates.filters["q"] = lambda value: quote(str(value), safe="")
    pages = Pages(store, templates, token)

    def start(_: Request) -> Response:
        """The dataset that was asked for, else the newest."""
        dataset = store.open(first) if first else _newest(store)
        return RedirectResponse(f"/d/{quote(dataset.ref)}" if dataset else "/datasets", 307)

    def datasets(_: Request) -> Response:
        return HTMLResponse(pages.datasets())

    def grid(request: Request) -> Response:
        return HTMLResponse(pages.grid(_ref(request), dict(request.query_params)))

    def row(request: Request) -> Response:
        where = dict(request.query_params)
        return HTMLResponse(pages.row(_ref(request), request.path_params["id"], where))

    def path(request: Request) -> Response:
        return HTMLResponse(pages.path(_ref(request), request.path_params["id"]))

    def find(request: Request) -> Response:
        return RedirectResponse(pages.find(_ref(request), dict(request.query_params)), 303)

    def whole(request: Request) -> Response:
        return PlainTextResponse(pages.whole(_ref(request), dict(request.query_params)))

    def flags(_: Request) -> Response:
        return HTMLResponse(pages.flags())

    def icon(_: Request) -> Response:
        """Browsers request this for a page that is plain text."""
        return RedirectResponse("/static/icon.svg", 307)

    def image(request: Request) -> Response:
        data, kind = pictures.whole(request.path_params["sha256"])
        return Response(data, media_type=kind, headers=FOREVER)

    def thumb(request: Request) -> Response:
        data, kind = pictures.small(request.path_params["sha256"])
        return Response(data, media_type=kind, headers=FOREVER)

    async def mark(request: Request) -> Response:
        body = b""
        async for part in request.stream():  # a body may come without a Content-Length
            body += part
            if len(body) > BODY:
                raise UsageError(f"vlt view accepts at most {BODY:,} bytes")
        fields = dict(parse_qsl(body.decode("utf-8", "replace")))
        token.check(fields.get("token", ""))
        return await run_in_threadpool(_keep_mark, store, fields)

    def refused(_: Request, error: Exception) -> Response:
        usage = isinstance(error, UsageError)
        status = 403 if isinstance(error, Refused) else 400 if usage else 404
        return HTMLResponse(pages.error(str(error)), status)

    def missing(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        return HTMLResponse(pages.error("there is no such page"), status)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        import anyio.to_thread

        anyio.to_thread.current_default_thread_limiter().total_tokens = 8
        yield
        pictures.close()

    routes: list[tuple[str, Callable[..., object]]] = [
        ("/", start),
        ("/datasets", datasets),
        ("/flags", flags),
        ("/d/{ref}", grid),
        ("/d/{ref}/row/{id:path}", row),
        ("/d/{ref}/path/{id:path}", path),
        ("/d/{ref}/find", find),
        ("/d/{ref}/text", whole),
        ("/favicon.ico", icon),
        ("/image/{sha256}", image),
        ("/thumb/{sha256}", thumb),
    ]
    return Starlette(
        routes=[
            *(Route(address, answer) for address, answer in routes),
            Route("/mark", mark, methods=["POST"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[Middleware(Guard, port=port)],
        exception_handlers={UserError: refused, 404: missing, 405: missing},
        lifespan=lifespan,
    )


def _ref(request: Request) -> str:
    ref = str(request.path_params["ref"])
    if len(ref) > REF:
        raise UsageError(
            f"{ref[:20] + '…'!r} does not name a dataset; write name, name@v3 or name@r2"
        )
    return ref


def _newest(store: Store) -> Dataset | None:
    found = [d for d in store.all() if d.kind != "checkpoint"]
    return found[-1] if found else None


def _keep_mark(store: Store, fields: dict[str, str]) -> Response:
    """Write, change or (mark "none") remove a mark, and go back to the row."""
    dataset = store.open(fields.get("dataset", "")[:REF])
    sample = fields.get("sample", "")
    if sample and number(sample) is None:
        raise UsageError(f"a sample is a number, not {sample[:50]!r}")
    flag = Flag(
        id=fields.get("id", ""),
        sample=number(sample),
        model=fields.get("model") or None,
        mark=fields.get("mark", ""),
        note=" ".join(fields.get("note", "").split())[:NOTE],
        dataset=dataset.ref,
    )
    if not any(Rows(dataset, dropped=dropped).of(flag.id) for dropped in (False, True)):
        raise UserError(f"{dataset.ref} has no row with the id {flag.id[:100]!r}")
    if flag.mark == "none":
        Flags(store.root).remove(flag.key)
    elif flag.mark in MARKS:
        Flags(store.root).put(flag)
    else:
        raise UsageError(f"a mark is {', '.join(MARKS)} or none, not {flag.mark[:50]!r}")
    query = fields.get("back", "")
    back = f"/d/{quote(dataset.ref)}/row/{quote(flag.id, safe='')}"
    return RedirectResponse(back + (query if query.startswith("?") else ""), 303)
