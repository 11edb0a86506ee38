"""No network: the main jobs open no socket, and tests of the whole suite may reach this machine only."""

import socket
import subprocess
import sys
import urllib.request

import pytest

from tests.conftest import Reached

#: Runs commands of flatmin in one process, and prints every event of Python that concerns sockets or addresses.
PROGRAM = """
import sys

def watch(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.", "ftplib.", "smtplib.")) and event != "socket.gethostname":
        print("reached", event, arguments[1:])

sys.addaudithook(watch)
from flatmin.cli import main

for line in sys.stdin.read().splitlines():
    status = main(line.split())
    assert status in (0, 1), (line, status)
print("done")
"""

TABLE = "a,b,c\n" + "\n".join(
    ",".join("" if (i + 2 * j) % 7 == 3 else f"{(i + 1) * (j + 1) + 0.1 * ((i * j) % 3)}" for j in range(3))
    for i in range(12)
)
PAIRS = "user,item,rating\n" + "\n".join(f"u{i % 7},i{i % 5},{(i * i) % 5 + 1}" for i in range(60))
RECIPE = 'recipe = "figure-3"\nrepetitions = 1\nonly.panel = ["sensing"]\ngrid.d = [5]\n'

QUICK = [
    "generate matrix-completion problem.npz --shape 6,5 --rank 1 --measurements 24",
    "recover matrix-completion problem.npz --prove --output recovered",
    "certify matrix-completion problem.npz recovered/solution.npz",
    "flatness matrix-completion problem.npz recovered/solution.npz",
    "prove matrix-completion problem.npz recovered/solution.npz --output proof.json",
    "explore --output explore.html",
]
SLOW = [
    "impute table.csv --output imputed",
    "rate pairs.csv --output rated",
    "separate table.csv --output separated",
    "generate matrix-completion problem.npz --shape 6,5 --rank 1 --measurements 24",
    "race matrix-completion problem.npz --competitors sgd --budget 60 --output race --jobs 1",
    "sweep recipe.toml --store trials.db --report page.html --jobs 2",
    "report trials.db --output report.html",
]


@pytest.mark.parametrize(
    "lines", [pytest.param(QUICK, id="quick"), pytest.param(SLOW, id="slow", marks=pytest.mark.slow)]
)
def test_the_main_jobs_open_no_connection(lines, tmp_path):
    for name, text in {"table.csv": TABLE, "pairs.csv": PAIRS, "recipe.toml": RECIPE}.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, input="\n".join(lines), capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "done" in done.stdout
    assert "reached" not in done.stdout, done.stdout


def test_tests_can_reach_this_machine_only():
    with socket.socket() as opened, pytest.raises(Reached, match="example"):
        opened.connect(("example.org", 80))
    with socket.socket() as opened, pytest.raises(Reached):
        opened.connect_ex(("192.0.2.1", 80))
    with socket.socket(type=socket.SOCK_DGRAM) as opened, pytest.raises(Reached):
        opened.sendto(b"", ("192.0.2.1", 9))
    with pytest.raises(Reached):
        urllib.request.urlopen("http://192.0.2.1/")
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
