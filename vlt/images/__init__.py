"""Images: kept once each, checked, sized."""
