"""One thin entry point a stage of dvc.yaml: read parameters, call `assay`, write files."""
