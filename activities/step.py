"""The decorator of every step that runs in a thread."""

from temporalio import activity

step = activity.defn(no_thread_cancel_exception=True)
"""A cancel is asked for where a step waits (`infra.interruption`), never thrown into its thread: there it could hit
between taking a lock and holding it, or a destructor, which swallows it. See docs/decisions/0007."""
