"""The miniature: a drawn world, questions with exact answers, and tiny models of the real classes.

It exists so that the whole loop (captions, reasoning, filters, SFT, GRPO, rounds) runs for real on
two CPU cores in minutes. Only `records` is needed outside this package, and importing it needs
numpy and Pillow, not torch.
"""

from vlt.datagen.miniature.questions import FAMILIES
from vlt.datagen.miniature.world import records

__all__ = ["FAMILIES", "records"]
