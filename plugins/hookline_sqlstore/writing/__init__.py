"""Changes as SQL: the rows and statements of each change, and their application in grouped commits."""
