"""Programs that call pectl on what a PACS or a cohort sends them: where each lays its files, and what it wants back.

A file has the contract of one program. None of them knows the model; `pectl.steps.predict_for` runs it.
"""
