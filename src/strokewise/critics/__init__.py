"""Critics: whoever judges plans, sketches and pictures. They build no data, train nothing, run nothing."""
