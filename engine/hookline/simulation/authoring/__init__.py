"""Work on documents and expressions that somebody is still writing: bounded in time and memory, in processes of its
own."""
