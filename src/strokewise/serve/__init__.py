"""The server: paintings over HTTP that a person can watch, stop, correct and branch.

``app`` puts it together; ``manager`` is all that happens to sessions, ``worker`` the one thread that paints.
"""
