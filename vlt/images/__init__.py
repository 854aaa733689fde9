"""Images: checked, stored once each, resized."""
