"""The checks for a GPU, at tiny size on the CPU: what needs a GPU says so."""

from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"


def test_checks_run_at_tiny_size_without_a_gpu(forks):
    done = forks.run(SCRIPT, "--device", "cpu", "--tiny", text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line.split("│")[1].strip(): line for line in done.stdout.splitlines() if line.startswith("│")}
    gpu = (
        "compiled flex attention",
        "memory of a step, of the estimate",
        "copy of a checkpoint from a GPU",
        "flow step, share of bound",
        "text decoding, share of bound",
    )
    for name in gpu:
        assert "not run: needs CUDA" in lines[name]
        assert "pass" not in lines[name]
    assert "pass" in lines["copy of a checkpoint on the host"]
    assert any(name.startswith("rule of flex attention") and "pass" in line for name, line in lines.items())
    assert "FAIL" not in done.stdout
