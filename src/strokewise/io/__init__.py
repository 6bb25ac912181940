"""Files: written whole by ``atomic``, read within bounds by ``outside``, checked against types by ``schema``.

Knows bytes, text, JSON and pictures; it refuses to know what they mean. It needs no torch.
"""
