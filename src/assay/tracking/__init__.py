"""From files to MLflow: what the stages left on disk becomes runs, and doing so twice changes nothing.

`sync` reads only files, as a stage that DVC restores from its cache never runs. Nothing else talks to MLflow.
"""
