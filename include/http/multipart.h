/*
 * multipart: a multipart/form-data body (RFC 7578, RFC 2046 5.1), scanned as it streams by, without
 * I/O or allocation. It is strict: what two readers could read in two ways is a fault.
 */
#ifndef HTTP_MULTIPART_H
#define HTTP_MULTIPART_H

#include "base/str.h"

#define MULTIPART_NAME_MOST 128      /* bytes of the name of a field */
#define MULTIPART_VALUE_MOST 1024    /* bytes of a field's content that are kept */
#define MULTIPART_HEAD_MOST 16384    /* bytes of the head of one part with its empty line */
#define MULTIPART_BOUNDARY_MOST 70   /* RFC 2046 5.1.1 */
#define MULTIPART_PARAMETERS_MOST 16 /* of one Content-Disposition */

/* A part that has ended. The slices are valid until the next call. */
struct multipart_part {
	struct str name;  /* decoded, well-formed UTF-8 without NUL */
	bool file;        /* has a filename or a filename* */
	bool coded;       /* has a Content-Transfer-Encoding other than 7bit, 8bit and binary */
	struct str value; /* the first MULTIPART_VALUE_MOST bytes of its content; of a file none */
	uint64_t start, end; /* where its content stands: offsets from the body's first byte */
};

struct multipart {
	const char *fault; /* what is wrong, or NULL */
	uint64_t offset;   /* and where: the byte itself; of a field, where its line begins; of a
			      head without a Content-Disposition, where that head begins; of
			      what is missing, the end of the body */
	bool complete;     /* the closing delimiter has been read, and there is no fault */
	/* all else is private */
	uint8_t state;
	uint8_t line;    /* how the line began, or that the next byte stands inside of one */
	uint8_t matched; /* bytes of `dash` at the beginning of this line, that came so far */
	uint8_t dash_len;
	uint8_t name_len;
	bool in_part; /* the boundary that is being read ends a part */
	bool file, coded, has_disposition, has_type, has_coding;
	uint16_t kept_len, head_len;
	uint64_t read;       /* bytes of the body so far */
	uint64_t line_at;    /* where the field line begins */
	uint64_t start, end; /* of the content; before that, `start` of the head */
	char dash[2 + MULTIPART_BOUNDARY_MOST]; /* "--" and the boundary */
	char name[MULTIPART_NAME_MOST];
	char kept[MULTIPART_HEAD_MOST]; /* the field line being read; then what the value may be */
};

/*
 * Start, with the value of a Content-Type. 0; -1 with *why (else NULL), a clause about that value
 * ("it has no boundary"): not multipart/form-data; malformed parameters; no boundary, or two, or an
 * extended one (RFC 2231); one that is empty, longer than MULTIPART_BOUNDARY_MOST, ends in a space
 * or has a byte that RFC 2046 does not allow. A backslash is such a byte: a quoted-pair in a
 * boundary, which not every reader undoes, is refused. After -1 all calls are.
 */
int multipart_init(struct multipart *m, struct str content_type, const char **why);
/*
 * Read on in `in`. Returns bytes consumed: all of `in`, or up to where a part ended; then *got is
 * true and *part is filled; call again while input is left. A part ends with the LF of its boundary
 * line or the last dash of the closing delimiter. What follows the line of the closing delimiter is
 * passed over, if there is no boundary in it. -1: m->fault and m->offset; so is every call after
 * it. Parts, fault and offset do not depend on how the body was cut.
 */
long multipart_next(struct multipart *m, struct str in, struct multipart_part *part, bool *got);
/* At the end of the body: 0 when it is complete, else -1 with m->fault and m->offset. */
int multipart_end(struct multipart *m);

#endif
