"""Least privilege, shown: what the functions ask AWS for, held against what their roles allow."""
