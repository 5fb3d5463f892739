/*
 * text: what stands inside a JSON string: plain runs, UTF-8, escapes. For the modules of this
 * folder.
 */
#ifndef JSON_TEXT_H
#define JSON_TEXT_H

#include "base/str.h"

/* Length of the run of plain string content at `p`: up to the first `"`, `\`, control byte or byte
 * >= 0x80. At memory speed. */
size_t json_plain_run(const char *p, size_t len);
/* Length of the run of whole, well-formed UTF-8 sequences of two to four bytes at `p` (RFC 3629),
 * and of single plain bytes between them. */
size_t json_wide_run(const char *p, size_t len);
/* Length of the run at `p` of what may stand in a string: plain bytes, whole well-formed characters
 * and whole escapes; up to a quote, or what is none of these or is cut by the end. *escaped is set
 * at the first backslash, else left as it is. At memory speed. */
size_t json_content_run(const char *p, size_t len, bool *escaped);
/* Length of the run at `p` up to the first `"` or `\`, whatever else stands there. At memory speed.
 */
size_t json_text_run(const char *p, size_t len);
/* Length of the run at `p` up to the first `"`, `{`, `}`, `[` or `]`. At memory speed. */
size_t json_gap_run(const char *p, size_t len);
/* Offset of the first `"` that one of three bytes follows, or `len`. At memory speed. */
size_t json_begin(const char *p, size_t len, const char next[3]);
/* Length of what stands in a string at `p`, up to its closing quote; `len` when there is none, or
 * before it something that cannot stand in a string. */
size_t json_text_span(const char *p, size_t len);
/* The UTF-8 rule a byte at a time: *state is 0 between characters. 0, or -1 when `byte` cannot
 * stand there (then *state is 0 again). */
int json_utf8_step(uint32_t *state, unsigned char byte);
/* Is it UTF-8 without control characters (U+0000 to U+001F, U+007F)? */
bool json_text_plain(struct str s);
/* What the byte after a backslash stands for; 0 for `u` and for what may not stand there. */
extern const char json_escapes[256];
/* Value of a hexadecimal digit, or -1. */
int json_hex(char c);

/*
 * One stretch of a plain text on its way into a JSON string: `run` bytes that stand as they are,
 * then `put` in the place of what follows them. Together they take `used` bytes of the text. The
 * rules: `"`, `\` and control bytes are escaped (\b \f \n \r \t, else \u00XX) and nothing else;
 * each maximal piece of an ill-formed sequence becomes U+FFFD. For json_quote and json/write.
 */
struct json_stretch {
	size_t run, used;
	uint8_t put_len;
	char put[7];
	bool cut; /* the text ends inside a character: it is not used, put_len is 0 */
};

struct json_stretch json_stretch(struct str plain);
extern const struct str json_replacement; /* U+FFFD */

#endif
