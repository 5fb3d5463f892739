/*
 * reload: from one generation to the next, or back, without a moment in which nobody accepts.
 */
#ifndef PROCESS_RELOAD_H
#define PROCESS_RELOAD_H

#include "process/child.h"

/* Told each error of a configuration that is being loaded by a running master: to the log. */
void reload_report(void *ctx, const char *file, unsigned line, const char *text);
/*
 * Read the configuration again and start its generation (f->coming). On an error all is as
 * before.
 */
void reload_begin(struct family *f);
/*
 * Something changed while f->coming starts: commit when it is ready, roll back when it will not
 * be.
 */
void reload_progress(struct family *f);
/* Number a new generation and fork its children. */
void reload_start(struct family *f, struct generation *g);
/* Put a generation into service whose workers are ready: its log becomes the master's. */
void reload_serve(struct family *f, struct generation *g);
/* Count what the master's own log has lost so far: now and then, and before another takes its
 * place. */
void reload_count_lost(struct family *f);
/* Tell the service manager that all is well, and what serves. */
void reload_tell_ready(struct family *f);
/* Log what the new configuration cannot change in tables that are there already. */
void reload_tell_unchanged(const struct family *f, const struct conf *c);
/* The current generation, whose state says so already, rests: its workers drain, its resolver ends.
 * A reload that is in progress is undone. */
void reload_rest(struct family *f);
/* The current generation rests no more: workers of the same configuration serve again. */
void reload_resume(struct family *f);
/* Take a generation out of service: its workers drain (QUIT), its resolver ends. */
void reload_retire(struct family *f, struct generation *g);
/* Free every retired generation whose last child is gone. */
void reload_collect(struct family *f);

#endif
