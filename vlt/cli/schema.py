"""vlt schema: what a recipe may contain, for editors."""

from __future__ import annotations

from vlt.cli.output import print_json


def schema() -> None:
    """Print the JSON schema of recipes, for editors that complete and check YAML."""
    from vlt.runs.schema import recipe_schema

    print_json(recipe_schema())
