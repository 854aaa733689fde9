"""The Python API of vlt: what `import vlt` offers. See vlt.api.workspace."""
