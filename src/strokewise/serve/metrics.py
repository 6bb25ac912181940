"""What a server measures of itself, for Prometheus; names as vLLM's where it has the same."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

PREFIX = "strokewise:"
SECONDS = (0.1, 0.3, 1, 3, 10, 30, 60, 120, 300, 600)


class Metrics:
    """The numbers of one server."""

    def __init__(self) -> None:
        """Begin at nothing."""
        self.registry = registry = CollectorRegistry()

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(PREFIX + name, text, registry=registry)

        def histogram(name: str, text: str) -> Histogram:
            return Histogram(PREFIX + name, text, registry=registry, buckets=SECONDS)

        self.running = gauge("num_requests_running", "Sessions that are being painted.")
        self.waiting = gauge("num_requests_waiting", "Sessions that wait to be painted.")
        self.memory = gauge("kv_cache_bytes", "Bytes of the keys and values of all sessions under way.")
        self.latency = histogram("e2e_request_latency_seconds", "From the request to the end of a painting.")
        self.queued = histogram("request_queue_time_seconds", "From the request to the first stage.")
        self.first = histogram("time_to_first_token_seconds", "From the request to the first text.")
        self.canvases = Counter(PREFIX + "canvases", "Canvases that were painted.", registry=registry)
        self.tokens = Counter(PREFIX + "generation_tokens", "Tokens that were written.", registry=registry)
        self.ended = Counter(
            PREFIX + "request_success", "Paintings that ended.", ["finished_reason"], registry=registry
        )

    def text(self) -> bytes:
        """Return all of them in Prometheus's format."""
        return generate_latest(self.registry)
