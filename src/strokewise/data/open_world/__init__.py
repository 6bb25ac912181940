"""Training data of photographs: open-world scenes, an image editor that paints them, a judge that decides."""
