/*
 * access: the access log's lines, in text (Apache combined, then key=value) and JSON.
 */
#ifndef REPORT_ACCESS_H
#define REPORT_ACCESS_H

#include "base/log.h"
#include "dialect/dialect.h"

enum access_end {
#define ACCESS_END(name, word) END_##name,
#include "report/access_end.def"
#undef ACCESS_END
};

/* Everything that a line says. Slices may be empty ("-" in text, null in JSON); -1 for numbers that
 * do not apply (likewise). */
struct access_entry {
	uint64_t wall_ms; /* when the request began */
	struct str request_id, client_ip, client, method,
		path /* raw target path without query; escaped here */, version /* "HTTP/1.1" */;
	struct str model, provider, target_model;
	struct str user_agent, referer; /* not in JSON */
	int status, upstream_status, attempts;
	bool stream;
	int64_t bytes_in, bytes_out;                    /* body bytes */
	int64_t latency_us, upstream_us, first_byte_us; /* printed in ms with three decimals */
	const struct usage *usage;                      /* NULL: none */
	enum access_end end;
	int worker;
};

/*
 * Format one line with its newline into `out` (size bytes, at least 2,048; at most size are written
 * and a line that is too long has its longest values cut). Control characters, quotes and non-UTF-8
 * bytes are escaped. Returns the length.
 */
size_t access_line(char *out, size_t size, enum log_format format, const struct access_entry *e);

#endif
