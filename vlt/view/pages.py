"""What each page of `vlt view` shows."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment

from vlt.errors import UsageError, UserError
from vlt.view import text
from vlt.view.guard import Token
from vlt.view.paths import steps
from vlt.view.rows import Place, Rows
from vlt.view.state import PAGE, State, number
from vlt.workspace.flags import Flags
from vlt.workspace.judgements import Judged, combined, rubrics_of
from vlt.workspace.store import Dataset, Store

SHORT = (
    *("id", "source", "question", "answer", "images", "sample", "predicted", "verdict", "model"),
    *("filter", "reason", "judgements"),
)
"""The columns that a card shows."""
COUNTED = 100_000
"""Up to this many rows, the values of columns are counted before the page is shown."""
LATER = 1.0
"""Delay in seconds before those of a larger version are counted, so that its page comes first."""
KNOWN = 16
"""How many versions' results are cached."""


class Pages:
    """Renders pages; caches only what was computed from versions, which never change."""

    def __init__(self, store: Store, templates: Environment, token: Token):
        self._store, self._templates, self._token = store, templates, token
        self._facets: dict[tuple[str, bool], dict[str, list[tuple[str, int]]]] = {}
        self._counting: set[tuple[str, bool]] = set()
        self._known: dict[tuple[str, str, bool], Rows] = {}

    def datasets(self) -> str:
        """Every version, newest first."""
        return self._render("datasets.html", versions=self._store.all()[::-1])

    def flags(self) -> str:
        """Every mark, newest first."""
        return self._render("flags.html", flags=Flags(self._store.root).all()[::-1])

    def error(self, sentence: str) -> str:
        """A page with one sentence."""
        return self._render("error.html", sentence=sentence)

    def grid(self, ref: str, values: Mapping[str, str]) -> str:
        """A page of rows."""
        dataset = self._open(ref)
        rows = self._rows(dataset, dropped=values.get("dropped") == "1")
        state = State.read(values, rows.columns)
        problem, total, places = "", 0, []
        try:
            total = rows.count(state)
            places = rows.places(state, PAGE, PAGE * (state.page - 1))
        except UsageError as error:
            problem = str(error)
        found = rows.read(places, [c for c in SHORT if c in rows.columns])
        marks = Flags(self._store.root).all()
        marked = {flag.key: flag for flag in marks}
        cards = [
            {
                "row": row,
                "mark": marked.get((row["id"], row.get("sample"), row.get("model")))
                or marked.get((row["id"], None, None)),
                "address": self._address(dataset, place, state, PAGE * (state.page - 1) + i),
                "judged": _judged(row),
            }
            for i, (row, place) in enumerate(zip(found, places, strict=True))
        ]
        return self._render(
            "grid.html",
            dataset=dataset,
            versions=self._store.versions(dataset.manifest.name),
            parents=[(p.ref, p.ref in self._with_rows(p.name)) for p in dataset.manifest.parents],
            state=state,
            cards=cards,
            total=total,
            pages=max(1, -(-total // PAGE)),
            kept_total=dataset.manifest.rows,
            dropped_total=self._rows(dataset, dropped=True).all,
            facets=self._counted(dataset, rows, state),
            columns=[c for c in rows.scalars if c not in ("response", "reasoning", "meta")],
            problem=problem,
        )

    def row(self, ref: str, row_id: str, values: Mapping[str, str]) -> str:
        """One item: its question, every response to it, its marks, and links to the neighbouring rows."""
        dataset = self._open(ref)
        kept, gone = self._rows(dataset), self._rows(dataset, dropped=True)
        empty = dict.fromkeys(dataset.schema.names)  # an older release did not write all columns
        found = [
            {**empty, **values, "dropped": rows is gone}
            for rows in (kept, gone)
            for values in rows.read(rows.of(row_id), rows.columns)
        ]
        if not found:
            raise UserError(f"{dataset.ref} has no row with the id {row_id!r}")
        found.sort(key=lambda row: row.get("sample") or 0)
        samples = [self._sample(row) for row in found] if dataset.kind == "sample" else []
        current = number(values.get("sample"))
        chosen = next((r for r in found if r.get("sample") == current), found[0])
        rows = gone if values.get("dropped") == "1" else kept
        state = State.read(values, rows.columns)
        at = number(values.get("at"))
        before, after = self._beside(dataset, rows, state, chosen, at)
        back = replace(state, page=1 if at is None else at // PAGE + 1)
        marks = Flags(self._store.root).of(row_id)
        key = (row_id, chosen.get("sample"), chosen.get("model"))
        return self._render(
            "row.html",
            dataset=dataset,
            row=chosen,
            samples=samples,
            dropped_item=chosen if chosen["dropped"] and not samples else None,
            mark=marks.get(key),
            whole_mark=marks.get((row_id, None, None))
            if chosen.get("sample") is not None
            else None,
            marks=marks,
            before=before,
            after=after,
            back=state.query(page=back.page),
            here="?" + urlencode({k: v for k, v in values.items() if k != "mark"}),
            at=at,
            meta=_pretty(chosen.get("meta")),
            judged=_judged(chosen),
            judgements=chosen.get("judgements") or [],
        )

    def path(self, ref: str, row_id: str) -> str:
        """The item's history through the versions, as an HTML fragment."""
        dataset = self._open(ref)
        return self._templates.get_template("path.html").render(
            here=dataset, id=row_id, steps=list(steps(self._store, dataset, row_id))
        )

    def find(self, ref: str, values: Mapping[str, str]) -> str:
        """The URL of the row whose id begins with the given text."""
        dataset, wanted = self._open(ref), values.get("id", "").strip()
        for dropped in (False, True):
            rows = self._rows(dataset, dropped=dropped)
            ids = rows.starting(wanted) if wanted else []
            if len(ids) == 1:
                place = rows.of(ids[0])[0]
                return self._address(dataset, place, State(dropped=dropped), rows.position(place))
            if ids:
                raise UsageError(
                    f"several rows of {dataset.ref} have ids that begin with {wanted!r}; type more of it"
                )
        raise UserError(f"{dataset.ref} has no row whose id begins with {wanted!r}")

    def whole(self, ref: str, values: Mapping[str, str]) -> str:
        """The full text of a response."""
        dataset = self._open(ref)
        for dropped in (False, True):
            rows = self._rows(dataset, dropped=dropped)
            if "response" in rows.columns:
                sample = number(values.get("sample"))
                wanted = [p for p in rows.of(values.get("id", "")) if p.sample == sample]
                if wanted:
                    return rows.read(wanted[:1], ["response"])[0]["response"] or ""
        raise UserError(f"{dataset.ref} has no such response")

    def _open(self, ref: str) -> Dataset:
        dataset = self._store.open(ref)
        if dataset.kind == "checkpoint":
            raise UserError(f"{dataset.ref} is a checkpoint and has no rows")
        return dataset

    def _rows(self, dataset: Dataset, *, dropped: bool = False) -> Rows:
        """The rows of a version, from the cache if possible."""
        key = (dataset.ref, str(dataset.manifest.digest), dropped)
        rows = self._known.get(key)
        if rows is None:
            if len(self._known) >= KNOWN:
                self._known.clear()
            rows = self._known[key] = Rows(dataset, dropped=dropped)
        return rows

    def _with_rows(self, name: str) -> set[str]:
        """The versions of a name that have rows."""
        return {d.ref for d in self._store.versions(name) if d.kind != "checkpoint"}

    def _sample(self, row: dict[str, Any]) -> dict[str, Any]:
        thought, said = text.parts(row["response"])
        thought = thought if thought is not None else row.get("reasoning")
        return {
            **row,
            "judged": _judged(row),
            "thought": thought,
            "said": said,
            "long": len(row["response"] or ""),
        }

    def _beside(
        self, dataset: Dataset, rows: Rows, state: State, row: dict[str, Any], at: int | None
    ) -> tuple[str, str]:
        """The URLs of the rows before and after this one in the grid it was opened from."""
        if at is None:
            return "", ""
        first = max(0, at - 1)
        near = rows.places(state, at - first + 2, first)
        here = at - first
        if here >= len(near) or near[here].id != row["id"]:
            return "", ""
        before = self._address(dataset, near[here - 1], state, at - 1) if here else ""
        after = near[here + 1 :]
        return before, self._address(dataset, after[0], state, at + 1) if after else ""

    def _address(self, dataset: Dataset, place: Place, state: State, at: int) -> str:
        fields = {**state.fields(), "at": str(at)}
        if place.sample is not None:
            fields["sample"] = str(place.sample)
        return f"/d/{quote(dataset.ref)}/row/{quote(place.id, safe='')}?{urlencode(fields)}"

    def _counted(
        self, dataset: Dataset, rows: Rows, state: State
    ) -> dict[str, list[tuple[str, int]]] | None:
        """The values of columns that have few; None while a large version is being counted."""
        key = (str(dataset.manifest.digest) + dataset.ref, state.dropped)

        def count() -> None:
            try:
                self._facets[key] = rows.facets()
            except UserError:  # too much to count: offer no values
                self._facets[key] = {}

        if key not in self._facets and rows.all <= COUNTED:
            count()
        elif key not in self._facets and key not in self._counting:
            self._counting.add(key)
            timer = threading.Timer(LATER, count)
            timer.daemon = True
            timer.start()
        return self._facets.get(key)

    def _render(self, template: str, **values: Any) -> str:
        root = self._store.root.resolve().name
        return self._templates.get_template(template).render(
            token=self._token.value, workspace=root, **values
        )


def _judged(row: Mapping[str, Any]) -> dict[str, Judged]:
    """The combined judgement of a row, by rubric."""
    judgements = row.get("judgements") or []
    found = {rubric: combined(judgements, rubric) for rubric in rubrics_of([judgements])}
    return {rubric: judged for rubric, judged in found.items() if judged}


def _pretty(meta: str | None) -> list[tuple[str, str]]:
    """The meta column's pairs; text that is not a JSON object is shown as it is."""
    try:
        found = json.loads(meta or "{}")
    except json.JSONDecodeError:
        return [("meta", meta or "")]
    if not isinstance(found, dict):
        return [("meta", meta or "")]
    return [
        (k, v if isinstance(v, str) else json.dumps(v, ensure_ascii=False))
        for k, v in found.items()
    ]
