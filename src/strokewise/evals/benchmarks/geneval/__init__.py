"""GenEval: folders of pictures, scores and intervals."""
