"""`python -m assay.models` prints the table of docs/models.md."""

from assay.models.table import markdown

if __name__ == "__main__":
    print(markdown())
