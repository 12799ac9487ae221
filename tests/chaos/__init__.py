"""The chaos test: nodes under faults and load, and a judge that reads what everybody has written down.

    python tests/chaos [--seed S] [--minutes 10] [--nodes 3] [--queue none|nats] [--server hypercorn|uvicorn]
    python -m tests.chaos.judge FOLDER/history

The first command runs and judges; it exits with 1 if the judge finds a violation. It needs PostgreSQL's programs,
libfaketime for the faults of clocks, and with `--queue nats` the program nats-server and the extra `nats`. The second
command judges a run again.

- `cluster.py`: real `hookline serve` processes on a PostgreSQL of the run's own.
- `stream.py`: a look at the stream in front of the database, if there is one.
- `proxy.py`: the TCP links between them, which can be cut, slowed down and healed.
- `faults.py`: the schedule of faults, which follows from the seed, and their injection.
- `flows/`: the flows: `orders` does everything for each line, `parcels` is called by it, `notes` is short, `memos` is
  short and has no dedupe key, and of `pairs` two executions run at a time.
- `clients.py`: the senders of messages, the caller of the steps that wait for a callback, and the deployer.
- `sinks.py`: the HTTP sink and the SQL sink, where the flows' effects go.
- `history.py`: the records that all of them write, as files of JSON lines.
- `collect.py`: what the system itself says after the run: its executions, its versions and its journal.
- `run.py`: one run, from the start of the cluster to the histories.
- `judge/`: a program of its own, which knows nothing but the histories.

docs/discussion/chaos.md explains what is judged, and why.
"""
