"""The reference pages, made from the code: `python -m docs.reference_from_code DIRECTORY`.

Settings, the endpoint's file, routes and metrics of the application, commands, events and errors.
The pages are written by `make docs` and are not committed, so they cannot disagree with the code.
"""
