"""Figures of the process itself: inspections, repairs, how errors grow."""
