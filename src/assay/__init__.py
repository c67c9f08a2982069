"""Assay: what does an efficient training method buy, at equal cost, with error bars?"""
