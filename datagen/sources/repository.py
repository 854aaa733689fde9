"""Sources on the Hugging Face Hub, streamed through `datasets` at one revision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from vlt.datagen.sources.paths import Folders
from vlt.datagen.sources.row import Row, Unreadable
from vlt.datagen.sources.values import Convert, converter
from vlt.errors import UsageError, UserError


class HubSource:
    """One split of one configuration; the revision is resolved first and is part of the identity."""

    folder: Folders | None = None
    as_it_is = False

    def __init__(self, repo: str, split: str | None, config: str | None, revision: str | None):
        self.repo, self.config = repo, config
        self.name, self.where = repo, f"dataset {repo!r} on the Hub"
        self.revision = self._resolve(revision)
        self.split = split or self._only_split()
        self.description: dict[str, Any] = {}
        self.notes: list[str] = []

    def columns(self) -> list[str]:
        """The names of the features."""
        stream = self._load()
        return list(stream.column_names or next(iter(stream)))

    def rows(self, leave_out: Sequence[str] = ()) -> Iterator[Row | Unreadable]:
        """The rows as plain values: images as encoded bytes; labels as their names."""
        stream = self._load()
        keep = [c for c in stream.column_names or [] if c not in leave_out]
        stream = stream.select_columns(keep) if keep and leave_out else stream
        change = _changes(stream.features)
        rows = iter(stream)
        while True:
            try:
                row = next(rows)
            except StopIteration:
                return
            except Exception as error:
                raise self._trouble(error) from error
            for name, convert in change.items():
                if row.get(name) is not None:
                    row[name] = convert(row[name])
            yield {name: self._with_bytes(value) for name, value in row.items()}

    def identity(self, columns: Mapping[str, str]) -> dict[str, Any]:  # noqa: ARG002
        """Repository, configuration, split and the commit."""
        return {
            "hub": self.repo,
            "config": self.config,
            "split": self.split,
            "revision": self.revision,
        }

    def _resolve(self, revision: str | None) -> str:
        from huggingface_hub import HfApi

        try:
            sha = HfApi().dataset_info(self.repo, revision=revision).sha
        except Exception as error:
            raise self._trouble(error) from error
        assert sha is not None, "the Hub returns the commit of every dataset"
        return sha

    def _only_split(self) -> str:
        splits = list(self._open(None))  # raises if a configuration must be named
        if len(splits) == 1 or "train" in splits:
            return "train" if "train" in splits else splits[0]
        raise UsageError(f"{self.where} has the splits {', '.join(splits)}; name one with --split")

    def _load(self) -> Any:
        return self._open(self.split).decode(False)

    def _open(self, split: str | None) -> Any:
        from datasets import load_dataset

        try:
            return load_dataset(
                self.repo, self.config, split=split, streaming=True, revision=self.revision
            )
        except Exception as error:
            raise self._trouble(error) from error

    def _with_bytes(self, value: Any) -> Any:
        """The value, with images that the dataset only references downloaded."""
        if isinstance(value, list):
            return [self._with_bytes(v) for v in value]
        points = isinstance(value, dict) and value.keys() == {"bytes", "path"}
        if not points or value["bytes"] is not None or "://" not in (value["path"] or ""):
            return value
        from datasets.utils.file_utils import xopen

        try:
            with xopen(value["path"], "rb") as opened:
                return {"bytes": opened.read(), "path": value["path"]}
        except Exception as error:
            raise self._trouble(error) from error

    def _trouble(self, error: Exception) -> UserError:
        """A UserError for whatever `datasets` and `huggingface_hub` raise."""
        name, words = type(error).__name__, " ".join(str(error).split())[:300]
        if self.config is None and "onfig name is missing" in words:
            return UsageError(
                f"{self.where} has the configurations {_configurations(str(error))}; name one with "
                "--config"
            )
        if "BuilderConfig" in words and "not found" in words:
            return UsageError(
                f"{self.where} has no configuration {self.config!r}; it has "
                f"{_configurations(str(error))}"
            )
        if "NotFound" in name and "Revision" in name:
            return UserError(f"{self.where} has no such revision ({words}); correct --revision")
        if "NotFound" in name or "Gated" in name:
            return UserError(
                f"{self.where} does not exist or you have no access ({words}); check its name, "
                "or log in with `hf auth login`"
            )
        if "Bad split" in words:
            return UsageError(
                f"{self.where} has no split {self.split!r}; it has {_configurations(words)}"
            )
        if isinstance(error, OSError) or "Connect" in name or "Timeout" in name:
            return UserError(
                f"{self.where} cannot be reached ({name}: {words}); check the connection and try again"
            )
        return UserError(
            f"{self.where} cannot be read by `datasets` ({name}: {words}); fetch it with `hf download "
            f"{self.repo} --repo-type dataset --local-dir DIR` and import DIR"
        )


def _changes(features: Any) -> dict[str, Convert]:
    """The conversions of these columns that keep their values exact (see values.py)."""
    if not features:
        return {}
    described = features.to_dict()
    found = {
        field.name: converter(field.type, described.get(field.name))
        for field in features.arrow_schema
    }
    return {name: convert for name, convert in found.items() if convert}


def _configurations(words: str) -> str:
    """The names in brackets in an error message of `datasets`."""
    return words.partition("[")[2].partition("]")[0].replace("'", "") or "several"
