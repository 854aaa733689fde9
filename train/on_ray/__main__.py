"""python -m vlt.train.on_ray FOLDER PROCESSES [ACCELERATE...]: see vlt.train.launch, which starts it."""

from __future__ import annotations

import sys
from pathlib import Path

from vlt.errors import UserError
from vlt.train.launch import FAILURE
from vlt.train.on_ray.driver import fit
from vlt.train.place import end_with_parent
from vlt.workspace.files import write_json

if __name__ == "__main__":
    folder = Path(sys.argv[1]).absolute()
    end_with_parent()
    try:
        fit(folder, int(sys.argv[2]), sys.argv[3:])
    except UserError as error:
        write_json({"sentence": str(error)}, folder / FAILURE)
        raise SystemExit(1) from None
