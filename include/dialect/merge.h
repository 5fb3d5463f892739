/*
 * merge: a JSON value that is put together from the fragments of a stream. Text stays as it came:
 * digits, escapes and unknown members are copied, never decoded; a string that came in pieces is
 * the pieces' escaped text joined (which also joins a surrogate pair that was cut).
 */
#ifndef DIALECT_MERGE_H
#define DIALECT_MERGE_H

#include "base/buf.h"
#include "base/mem.h"
#include "json/read.h"

enum merge_kind { MERGE_NULL, MERGE_RAW, MERGE_TEXT, MERGE_LIST, MERGE_OBJECT };

struct merge_text {
	char *p;
	size_t len, cap;
};

/*
 * A value: RAW (a JSON text), TEXT (the escaped inside of a string), OBJECT (members), LIST
 * (elements: those with an `index` are nodes and go on being merged, the others are raw text, comma
 * between).
 */
struct merge_node {
	enum merge_kind kind;
	struct str key;         /* of a member: escaped, without quotes */
	uint64_t index;         /* of an element */
	struct merge_text text; /* RAW, TEXT, LIST */
	struct merge_node *first, *last, *next;
	unsigned n; /* members or nodes of a list */
};

/* Where fragments come from and where memory goes to. */
struct merge {
	struct arena *arena;
	struct str text;              /* of the fragment */
	const struct json_scan *scan; /* its tokens */
};

/* How a string meets one that is there: the first that is not empty stays, or they are joined (but
 * for names such as id, type, role). */
enum merge_strings { MERGE_KEEP, MERGE_JOIN };

/* A null node; NULL when the arena has failed. */
struct merge_node *merge_new(struct arena *a);
/*
 * Merge the value at `t` into the node. null changes nothing; numbers and booleans replace; strings
 * by `how`; members and indexed elements one by one; other elements are appended. A kind that
 * differs replaces. 0; -1 when memory is out, or an object or list has grown past what any stream
 * has.
 */
int merge_value(const struct merge *m, struct merge_node *n, const struct json_token *t,
	enum merge_strings how);
/* The member of that plain name, or NULL. */
struct merge_node *merge_member(const struct merge_node *object, struct str name);
/* The same, made (null) when it is missing. NULL when memory is out. */
struct merge_node *merge_put(struct arena *a, struct merge_node *object, struct str name);
/*
 * The last element of that index in a list (a null node becomes one), made in its place by order of
 * index when there is none, or in any case (`fresh`). NULL when memory is out or there are too
 * many.
 */
struct merge_node *merge_element(struct arena *a, struct merge_node *list, uint64_t index,
	bool fresh);
/* Take a member out. */
void merge_drop(struct merge_node *object, struct str name);
/* Become the raw JSON text, or a string of escaped text joined to the one that is there. 0 or -1.
 */
int merge_set(struct arena *a, struct merge_node *n, struct str raw);
int merge_join(struct arena *a, struct merge_node *n, struct str escaped);
/* Append a raw element to a list (a null node becomes one). 0 or -1. */
int merge_append(struct arena *a, struct merge_node *n, struct str raw);
/* Nothing there yet: null, an empty string, or the number 0. */
bool merge_blank(const struct merge_node *n);
/* The JSON text. Failure is sticky in the buffer. */
void merge_write(struct buf *out, const struct merge_node *n);

#endif
