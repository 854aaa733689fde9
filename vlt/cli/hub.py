"""vlt push | pull: send versions and models to the Hugging Face Hub, and fetch versions back."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from vlt.cli.options import WORKSPACE, As, Json, Ray, Workspace, complete_datasets, open_store
from vlt.cli.output import describe, print_json, say

RepoArgument = Annotated[str, typer.Argument(metavar="REPO", help="user/name on the Hub.")]


def push(
    dataset: Annotated[
        str,
        typer.Argument(
            metavar="DATASET",
            help="A dataset or checkpoint (name, name@v3), or a model directory.",
            autocompletion=complete_datasets,
        ),
    ],
    repo: RepoArgument,
    private: Annotated[bool, typer.Option("--private", help="Only you see it.")] = False,
    split: Annotated[str, typer.Option(help="Name of the split for a dataset's rows.")] = "train",
    license: Annotated[
        str | None, typer.Option(help="Licence for the card, as the Hub names it (cc-by-4.0).")
    ] = None,
    ray: Ray = None,  # noqa: ARG001
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Push to the Hub, with a card; an interrupted push resumes when it is run again."""
    from vlt.datagen.hub.model import push_model
    from vlt.datagen.hub.push import push_dataset

    store = open_store(workspace)
    if (Path(dataset) / "config.json").is_file():
        ref = dataset
        url = push_model(
            store, Path(dataset), repo, private=private, license=license, say=_progress
        )
    else:
        version = store.open(dataset)
        ref = version.ref
        if version.kind == "checkpoint":
            url = push_model(
                store,
                version.path,
                repo,
                checkpoint=version,
                private=private,
                license=license,
                say=_progress,
            )
        else:
            from vlt.filters.stats import dataset_stats

            url = push_dataset(
                store,
                version,
                repo,
                private=private,
                split=split,
                license=license,
                statistics=dataset_stats(version) if version.manifest.rows else None,
                say=_progress,
            )
    if as_json:
        print_json({"ref": ref, "repo": repo, "commit": url})
    else:
        print(f"{ref} is {repo} on the Hub: {url}")


def pull(
    repo: RepoArgument,
    name: As = None,
    revision: Annotated[str | None, typer.Option(help="A branch, tag or commit.")] = None,
    split: Annotated[str, typer.Option(help="Name of the split that was pushed.")] = "train",
    workspace: Workspace = WORKSPACE,
    as_json: Json = False,
) -> None:
    """Fetch a version that `vlt push` sent: rows, images, manifest and lineage."""
    from vlt.datagen.hub.pull import pull_dataset

    store = open_store(workspace)
    dataset, existed = pull_dataset(
        store, repo, name=name, revision=revision, split=split, say=_progress
    )
    if as_json:
        print_json({"ref": dataset.ref, "existed": existed, "digest": dataset.manifest.digest})
    else:
        print(describe(dataset, existed=existed))


def _progress(line: str) -> None:
    say(f"  {line}")
