"""Files: written whole by ``atomic``, read within bounds by ``outside``, checked against types by ``schema``.

Services are reached through ``services``. Knows bytes, text, JSON, pictures and requests; it refuses to know
what they mean. It needs no torch.
"""
