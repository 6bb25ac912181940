"""Critics: they judge plans, sketches and pictures. They build no data, train nothing and run nothing.

judges          of the process: does a plan fit its prompt, does a canvas show its plan (Judge, Critique)
verifiers       of candidates: which of several pictures of a prompt is best (Verifier)
detectors       of pictures: which things are in it (Detector); geneval_rules judges them
oracle          the exact rules of the sprite world; canvas_reader applies them to pictures
vlm_client      queries to a vision model behind an API, for judges, verifiers and benchmarks
"""
