"""The files of recipes/cluster, as far as they can be held against something here."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml
from typer.testing import CliRunner

from vlt.cli.main import app
from vlt.runs.draft import copied
from vlt.runs.recipe import BUNDLED

FILES = sorted((BUNDLED / "cluster").iterdir())
COMMAND = re.compile(r"vlt (train [^\n\"]*?)(?: -w \S+)?(?=\"|\n|$)", re.M)


def test_ray_up_is_what_ray_takes() -> None:
    from ray.autoscaler._private.util import fillout_defaults, validate_config

    read = yaml.safe_load((BUNDLED / "cluster" / "ray-up.yaml").read_text())
    validate_config(fillout_defaults(read))
    with pytest.raises(Exception, match="wrkers"):
        validate_config(fillout_defaults({**read, "max_wrkers": 2}))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_the_commands_in_them_are_commands_of_vlt(file: object) -> None:
    text = file.read_text()  # type: ignore[attr-defined]
    commands = COMMAND.findall(text)
    assert commands or 'vlt "${@:2}"' in text
    for command in commands:
        words = [w for w in shlex.split(command) if w != "$head:6379"]
        words = words[:-1] if words[-1] == "--ray" else words
        done = CliRunner().invoke(app, [*words, "--explain"])
        assert done.exit_code == 0, done.output


def test_none_of_them_is_a_recipe() -> None:
    assert not {"kuberay", "ray-up", "skypilot", "slurm"} & set(copied())
