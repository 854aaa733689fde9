"""The workspace on disk: versions, manifests, rows, and the journal."""
