"""The template, the roles and the build: their texts, and what SAM and the build make of them. No stack is started.

`stack.py` resolves the template for given parameters. The tests of the build run make, and skip what is not installed.
"""
