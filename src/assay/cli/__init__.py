"""The commands that people and CI type, one file each."""
