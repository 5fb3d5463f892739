/*
 * series: counters by key, and the labels in the keys.
 *
 * The board is one mapping: labels, keys, and for each row of the scoreboard a counter for each
 * key. Keys are only ever added, behind the last one, by compare-and-swap of a zero: whoever loses
 * finds there what somebody else has added and looks on behind it. A key's place is the place of
 * its counter in every row. Each process remembers in a hash table of its own where the keys are
 * that it has met, and reads the board on only when it meets a new one. Counters take memory when
 * they are first written to or summed: the mapping is large, what is touched of it is as many rows
 * as there were workers at one time.
 *
 * Labels are written by masters alone (there are two while the binary is changed), under the lock
 * of the board and before the fork of those who read them, each once; their number is published
 * last. The last RESERVE keys are for those that stand for all which found no room. Only series_new
 * can fail, with errno.
 */
#include "shared/series.h"

#include <string.h>

#include "base/mem.h"
#include "base/shm.h"

#define SERIES_VERSION 2u

enum { RESERVE = 4096, PLACES = SERIES_MOST * 2 };

struct label {
	uint16_t len;
	char text[SERIES_LABEL_MOST];
};

struct series_board {
	struct shm_head head;
	_Atomic uint32_t n_labels;
	struct label labels[SERIES_LABELS];
	_Atomic uint64_t keys[SERIES_MOST];
	_Atomic uint64_t counts[SCOREBOARD_ROWS][SERIES_MOST];
};

struct series_place {
	uint64_t key; /* 0: none */
	uint32_t at;
};

struct series_board *
series_new(void)
{
	struct series_board *b = shm_map("series", SERIES_VERSION, sizeof *b, false);

	if (b)
		series_label(b, STR("other"));
	return b;
}

void
series_free(struct series_board *b)
{
	shm_unmap(b);
}

struct str
series_label_text(const struct series_board *b, unsigned label)
{
	const struct label *l = &b->labels[label < SERIES_LABELS ? label : LABEL_OTHER];

	return (struct str){ l->text, l->len };
}

/* Has the text a number? Else *at is the one that would be next. */
static bool
label_find(const struct series_board *b, struct str text, uint32_t *at)
{
	uint32_t n = atomic_load(&b->n_labels);

	for (*at = 0; *at < n; ++*at) {
		if (str_eq(series_label_text(b, *at), text))
			return true;
	}
	return false;
}

unsigned
series_label(struct series_board *b, struct str text)
{
	uint32_t at;

	if (text.len == 0 || text.len > SERIES_LABEL_MOST)
		return LABEL_OTHER;
	if (label_find(b, text, &at))
		return at;
	if (at == SERIES_LABELS || shm_lock(b) != 0)
		return LABEL_OTHER;
	if (!label_find(b, text, &at) && at < SERIES_LABELS) {
		memcpy(b->labels[at].text, text.p, text.len);
		b->labels[at].len = (uint16_t)text.len;
		atomic_store(&b->n_labels, at + 1);
	}
	shm_unlock(b);
	return at < SERIES_LABELS ? at : LABEL_OTHER;
}

void
series_open(struct series_writer *w, struct series_board *b, unsigned row)
{
	*w = (struct series_writer){ .board = b,
		.counts = b->counts[row],
		.places = mem_boot_pages(PLACES * sizeof *w->places) };
}

void
series_close(struct series_writer *w)
{
	mem_boot_pages_free(w->places, PLACES * sizeof *w->places);
	w->places = NULL;
}

/* Where the key is, or where it would be. */
static struct series_place *
place_of(const struct series_writer *w, uint64_t key)
{
	size_t at = (key * UINT64_C(0x9e3779b97f4a7c15)) >> 49; /* 15 bits */

	_Static_assert(PLACES == 1 << 15, "the hash has as many bits as there are places");
	while (w->places[at].key != 0 && w->places[at].key != key)
		at = (at + 1) % PLACES;
	return &w->places[at];
}

/* Read on in the board until the key is found, or added before `end`. NULL: there is no room. */
static struct series_place *
learn(struct series_writer *w, uint64_t key, unsigned end)
{
	while (w->seen < SERIES_MOST) {
		uint64_t there = atomic_load(&w->board->keys[w->seen]);
		struct series_place *place;

		if (there == 0) {
			if (w->seen >= end)
				break;
			if (atomic_compare_exchange_strong(&w->board->keys[w->seen], &there, key))
				there = key;
		}
		place = place_of(w, there);
		*place = (struct series_place){ there, w->seen++ };
		if (there == key)
			return place;
	}
	return NULL;
}

void
series_add(struct series_writer *w, uint64_t key, uint64_t rest, uint64_t n)
{
	struct series_place *place = place_of(w, key);

	if (place->key == 0)
		place = learn(w, key, SERIES_MOST - RESERVE);
	if (!place) {
		w->full = true;
		place = place_of(w, rest);
	}
	if (place->key == 0)
		place = learn(w, rest, SERIES_MOST);
	if (place)
		ROW_ADD(w->counts[place->at], n);
}

uint64_t
series_key(const struct series_board *b, unsigned i)
{
	return i < SERIES_MOST ? atomic_load(&b->keys[i]) : 0;
}

uint64_t
series_sum(const struct series_board *b, unsigned i, unsigned rows)
{
	uint64_t sum = 0;

	for (unsigned row = 0; row < rows && row < SCOREBOARD_ROWS; row++)
		sum += atomic_load_explicit(&b->counts[row][i], memory_order_relaxed);
	return sum;
}
