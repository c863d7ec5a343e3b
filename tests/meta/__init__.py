"""Tests of the project itself: folders and imports, documents and links, what a cold start imports. They read files,
and start nothing but Python.
"""
