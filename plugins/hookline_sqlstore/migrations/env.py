"""The environment of Alembic: runs the migrations on the connection that `table_versions.upgrade` passes in."""

from alembic import context

context.configure(connection=context.config.attributes["connection"])
with context.begin_transaction():
    context.run_migrations()
