"""vlt schema: what a recipe may say, for editors."""

from __future__ import annotations

from vlt.cli.output import print_json


def schema() -> None:
    """Print the JSON schema of recipes, for an editor that completes and checks YAML by one."""
    from vlt.runs.schema import recipe_schema

    print_json(recipe_schema())
