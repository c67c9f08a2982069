"""From files to MLflow: what the stages left on disk becomes runs, and doing so twice changes nothing.

Nothing else talks to MLflow. A stage that DVC restores from its cache never runs, so it could not log; its files are
there all the same, and `sync` reads only files.
"""
