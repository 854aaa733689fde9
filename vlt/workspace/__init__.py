"""The workspace on disk: versions, manifests, rows, the journal."""
