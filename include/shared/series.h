/*
 * series: counters that all processes share: each has a key of 64 bits, which whoever counts first
 * puts in, and a number of its own in the row of each process. So adding is a plain load and store,
 * and the sum over all rows is exact, whoever has died meanwhile.
 *
 * And labels: texts that the master gives numbers to, for keys to hold. A number is never used for
 * another text, so that counters go on over every reload.
 */
#ifndef SHARED_SERIES_H
#define SHARED_SERIES_H

#include "base/str.h"
#include "shared/scoreboard.h"

#define SERIES_MOST 16384
#define SERIES_LABEL_BITS 13
#define SERIES_LABELS (1u << SERIES_LABEL_BITS)
#define SERIES_LABEL_MOST 256 /* bytes of a label */
#define LABEL_OTHER 0         /* the number of "other" */

struct series_board;

/* Made, or taken over, by the master before the first fork. NULL with errno. */
struct series_board *series_new(void);
void series_free(struct series_board *b);

/* Master: the number of a text, a new one where it has none yet; LABEL_OTHER when there is no room
 * for it, or it is too long or empty. */
unsigned series_label(struct series_board *b, struct str text);
struct str series_label_text(const struct series_board *b, unsigned label);

/* A process that counts, in a row of its own. */
struct series_writer {
	struct series_board *board;
	_Atomic uint64_t *counts;    /* its row */
	struct series_place *places; /* where the keys are that it has met */
	unsigned seen;               /* keys of the board that are in `places` */
	bool full;                   /* something was counted under its `rest` */
};

/* `row`: index in the scoreboard. Boot memory; series_close gives it back. */
void series_open(struct series_writer *w, struct series_board *b, unsigned row);
void series_close(struct series_writer *w);
/*
 * Count `n` under `key`, which is not 0. Where there is no room for a new key it counts under
 * `rest`, of which the caller has few. No lock, no allocation, no system call.
 */
void series_add(struct series_writer *w, uint64_t key, uint64_t rest, uint64_t n);

/* For readers: key i, 0 past the last; and its sum over the first `rows` rows. */
uint64_t series_key(const struct series_board *b, unsigned i);
uint64_t series_sum(const struct series_board *b, unsigned i, unsigned rows);

#endif
