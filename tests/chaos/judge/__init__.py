"""The judge of a run: a program of its own, which reads the histories and finds what must not be.

It knows nothing of the engine. Each file has the rules of one subject: `messages`, `effects`, `calls`, `lines`,
`concurrency`, `deployments`, `journal` and `nodes`. A rule is a function that yields violations of the evidence.
"""
