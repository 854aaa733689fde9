"""The Python face of vlt: what `import vlt` gives. See vlt.api.workspace."""
