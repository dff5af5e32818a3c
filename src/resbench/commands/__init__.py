"""Commands, one function a file; nothing heavy is imported before it is needed."""
