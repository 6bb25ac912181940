"""The sprite world: vocabulary, language, layout, rendering and recognition. Needs no torch."""
