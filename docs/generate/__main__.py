"""See the package."""

from pathlib import Path

from docs.generate import write_pages

write_pages(Path(__file__).parents[1])
