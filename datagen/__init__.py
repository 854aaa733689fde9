"""Creates rows: items from sources; captions, reasoning and rollouts from models."""
