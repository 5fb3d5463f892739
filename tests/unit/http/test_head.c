/*
 * Tests of http/head. Two tables, of requests and of replies, hold what is taken and what is
 * refused and why; each row is read whole, byte by byte and cut in two at every offset, and must
 * come out the same. The rows that are refused are the known ways to make two readers see different
 * messages.
 */
#include "http/head.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

#define FIELDS_MAX 8
#define HEAD_MAX 2048
#define H "Host: a\r\n"
#define E "\r\n"
#define G "GET / HTTP/1.1\r\n"
#define P "POST /v1/chat/completions HTTP/1.1\r\n" H

struct request_case {
	struct str text;
	enum head_fault fault;
	enum framing kind;
	uint64_t length;
	bool close; /* keep_alive is expected to be false */
	bool expect;
	const char *path, *query, *authority; /* checked when given */
};

#define BAD(why, head)                                      \
	{                                                   \
		.text = STR_INIT(head), .fault = HEAD_##why \
	}
#define GOOD(head, ...)                                               \
	{                                                             \
		.text = STR_INIT(head), .fault = HEAD_OK, __VA_ARGS__ \
	}

static const struct request_case requests[] = {
	/* what is in order */
	GOOD(G H E, .path = "/"),
	GOOD("GET /v1/models?limit=2&x=%20 HTTP/1.1" E H E, .path = "/v1/models",
		.query = "limit=2&x=%20"),
	GOOD("GET /a? HTTP/1.1" E H E, .path = "/a", .query = ""),
	GOOD("GET /a?b?c/d HTTP/1.1" E H E, .path = "/a", .query = "b?c/d"),
	GOOD("GET //a//b HTTP/1.1" E H E, .path = "//a//b"),
	GOOD("GET /{\"<>\\^`|} HTTP/1.1" E H E, .path = "/{\"<>\\^`|}"),
	GOOD("M-SEARCH!#$%&'*+.^_`|~ / HTTP/1.1" E H E, .path = "/"),
	GOOD("get / HTTP/1.1" E H E),
	GOOD("GET / HTTP/1.2" E H E),
	GOOD("GET / HTTP/1.9" E H E),
	GOOD("OPTIONS * HTTP/1.1" E H E, .path = "*"),
	GOOD("OPTIONS /a HTTP/1.1" E H E, .path = "/a"),
	GOOD("GET http://b HTTP/1.1" E H E, .path = "/", .authority = "b"),
	GOOD("GET http://b/ HTTP/1.1" E H E, .path = "/", .authority = "b"),
	GOOD("GET HTTPS://b.example:8443/v1/x?y HTTP/1.1" E H E, .path = "/v1/x", .query = "y",
		.authority = "b.example:8443"),
	GOOD("GET http://b?q HTTP/1.1" E H E, .path = "/", .query = "q", .authority = "b"),
	GOOD("GET http://[::1]:80/a HTTP/1.1" E H E, .path = "/a", .authority = "[::1]:80"),
	GOOD(G "Host: api.example.com" E E),
	GOOD(G "Host: my_host-1.~x:8000" E E),
	GOOD(G "Host: 127.0.0.1:8000" E E),
	GOOD(G "Host: [::1]" E E),
	GOOD(G "Host: [2001:db8::ff00:42:8329]:65535" E E),
	GOOD(G "Host: [::ffff:192.0.2.1]:1" E E),
	GOOD(G "Host: a:" E E),
	GOOD(G "Host:\t a \t" E E),
	GOOD(G "HOST:a" E E),
	GOOD(G H "Empty:" E "Tab: a\tb" E "Obs: caf\xc3\xa9 \xff" E E),
	GOOD(G H "A:1" E "B:2" E "C:3" E "D:4" E "E:5" E "F:6" E "G:7" E E),
	GOOD("GET / HTTP/1.0" E E, .close = true),
	GOOD("GET / HTTP/1.0" E H E, .close = true),
	GOOD("GET / HTTP/1.0" E "Connection: Keep-Alive" E E),
	GOOD("GET / HTTP/1.0" E "Connection: keep-alive, close" E E, .close = true),
	GOOD(G H "Connection: close" E E, .close = true),
	GOOD(G H "Connection: CLOSE" E E, .close = true),
	GOOD(G H "Connection: x-a,\t close ,te" E E, .close = true),
	GOOD(G H "Connection: te" E "Connection: keep-alive" E "connection: close" E E,
		.close = true),
	GOOD(G H "Connection: closed" E E),
	GOOD(G H "X-Connection: close" E E),
	GOOD(G H "Connection: upgrade" E "Upgrade: h2c" E E),
	GOOD(P E, .kind = FRAMING_NONE),
	GOOD(P "Content-Length: 0" E E, .kind = FRAMING_LENGTH),
	GOOD(P "content-LENGTH:5" E E, .kind = FRAMING_LENGTH, .length = 5),
	GOOD(P "Content-Length: \t 0012 " E E, .kind = FRAMING_LENGTH, .length = 12),
	GOOD(P "Content-Length: 9223372036854775807" E E, .kind = FRAMING_LENGTH,
		.length = INT64_MAX),
	GOOD("POST / HTTP/1.0" E "Content-Length: 7" E E, .kind = FRAMING_LENGTH, .length = 7,
		.close = true),
	GOOD("GET / HTTP/1.1" E H "Content-Length: 7" E E, .kind = FRAMING_LENGTH, .length = 7),
	GOOD(P "Transfer-Encoding: chunked" E E, .kind = FRAMING_CHUNKED),
	GOOD(P "TRANSFER-encoding:\tChunKED\t" E E, .kind = FRAMING_CHUNKED),
	GOOD(P "Transfer-Encoding: chunked" E "Connection: close" E E, .kind = FRAMING_CHUNKED,
		.close = true),
	GOOD(P "Content-Length: 5" E "Expect: 100-continue" E E, .kind = FRAMING_LENGTH,
		.length = 5, .expect = true),
	GOOD(P "Content-Length: 5" E "Expect: 100-CONTINUE" E E, .kind = FRAMING_LENGTH,
		.length = 5, .expect = true),
	GOOD(P "Transfer-Encoding: chunked" E "Expect: 100-continue" E E, .kind = FRAMING_CHUNKED,
		.expect = true),
	GOOD(P "Content-Length: 0" E "Expect: 100-continue" E E, .kind = FRAMING_LENGTH),
	GOOD(P "Expect: 100-continue" E E),
	GOOD("POST / HTTP/1.0" E "Content-Length: 5" E "Expect: 100-continue" E E,
		.kind = FRAMING_LENGTH, .length = 5, .close = true),
	GOOD("\r\n" G H E, .path = "/"),
	GOOD(P "Content_Length: 5" E "Transfer_Encoding: chunked" E E),
	GOOD(P "X-Content-Length: 5" E E),

	/* line ends, controls */
	BAD(BARE_LF, "GET / HTTP/1.1\n" H E),
	BAD(BARE_LF, "\nGET / HTTP/1.1" E H E),
	BAD(BARE_LF, G "Host: a\n" E),
	BAD(BARE_LF, G "Host: a\nContent-Length: 5" E E),
	BAD(BARE_LF, G H "\n"),
	BAD(BARE_LF, G H "X: a\n\nGET /evil HTTP/1.1" E H E),
	BAD(BARE_CR, "GET / HTTP/1.1\r" H E),
	BAD(BARE_CR, G "X: a\rContent-Length: 5" E H E),
	BAD(BARE_CR, G H "X: a\r\r\n" E),
	BAD(BARE_CR, G H "X: a\r" E E),
	BAD(BARE_CR, "\r\r\n" G H E),
	BAD(CONTROL, G H "X: a\0b" E E),
	BAD(CONTROL, "GET /\0 HTTP/1.1" E H E),
	BAD(CONTROL, "\0"),
	BAD(CONTROL, G H "X: \x7f" E E),
	BAD(CONTROL, G H "X\x0b: a" E E),
	BAD(CONTROL,
		G H "Transfer-Encoding:\x0b"
		    "chunked" E E),
	BAD(CONTROL,
		G H "Transfer-Encoding: \x0c"
		    "chunked" E E),
	BAD(CONTROL, G H "X: \x1b[0m" E E),
	BAD(CONTROL, "\x16\x03\x01\x02\x00\x01"),

	/* request lines */
	BAD(START_LINE, E E),
	BAD(START_LINE, E E G H E),
	BAD(START_LINE, "GET" E H E),
	BAD(START_LINE, "GET /" E E),
	BAD(START_LINE, "GET / HTTP/1.1 " E H E),
	BAD(START_LINE, "GET /  HTTP/1.1" E H E),
	BAD(START_LINE, "GET / b HTTP/1.1" E H E),
	BAD(START_LINE, "GET / HTTP/1.1 GET /evil HTTP/1.1" E H E),
	BAD(START_LINE, "GET / http/1.1" E H E),
	BAD(START_LINE, "GET / HTTP/1" E H E),
	BAD(START_LINE, "GET / HTTP/1.10" E H E),
	BAD(START_LINE, "GET / HTTP/11" E H E),
	BAD(START_LINE, "GET / HTTP/1,1" E H E),
	BAD(START_LINE, "GET / HTTP/1.x" E H E),
	BAD(START_LINE, "GET / HTTP/ 1.1" E H E),
	BAD(START_LINE, "GET / HTTPS/1.1" E H E),
	BAD(START_LINE, "GET\t/\tHTTP/1.1" E H E),
	BAD(START_LINE, "GET  / HTTP/1.1" E H E),
	BAD(METHOD, " GET / HTTP/1.1" E H E),
	BAD(METHOD, "G(T / HTTP/1.1" E H E),
	BAD(METHOD, "GET: / HTTP/1.1" E H E),
	BAD(METHOD, "G\xc3\xa9T / HTTP/1.1" E H E),
	BAD(VERSION, "GET / HTTP/2.0" E H E),
	BAD(VERSION, "GET / HTTP/0.9" E H E),
	BAD(VERSION, "GET / HTTP/3.1" E H E),
	BAD(VERSION, "PRI * HTTP/2.0" E E),
	BAD(TARGET, "GET * HTTP/1.1" E H E),
	BAD(TARGET, "GET a HTTP/1.1" E H E),
	BAD(TARGET, "GET ?a HTTP/1.1" E H E),
	BAD(TARGET, "GET a:80 HTTP/1.1" E H E),
	BAD(TARGET, "GET /a#b HTTP/1.1" E H E),
	BAD(TARGET, "GET /caf\xc3\xa9 HTTP/1.1" E H E),
	BAD(TARGET, "GET /a\tb HTTP/1.1" E H E),
	BAD(TARGET, "CONNECT a:443 HTTP/1.1" E H E),
	BAD(TARGET, "CONNECT / HTTP/1.1" E H E),
	BAD(TARGET, "CONNECT http://a/ HTTP/1.1" E H E),
	BAD(TARGET, "OPTIONS ** HTTP/1.1" E H E),
	BAD(TARGET, "GET ftp://a/ HTTP/1.1" E H E),
	BAD(TARGET, "GET http:/a HTTP/1.1" E H E),
	BAD(TARGET, "GET http:// HTTP/1.1" E H E),
	BAD(TARGET, "GET http:///a HTTP/1.1" E H E),
	BAD(TARGET, "GET http://?a HTTP/1.1" E H E),
	BAD(TARGET, "GET http://u:p@a/ HTTP/1.1" E H E),
	BAD(TARGET, "GET http://a@b/ HTTP/1.1" E H E),
	BAD(TARGET, "GET http://a:x/ HTTP/1.1" E H E),
	BAD(TARGET, "GET http://a\\b/ HTTP/1.1" E H E),
	BAD(TARGET, "GET http://a/#b HTTP/1.1" E H E),
	BAD(TARGET, "GET xhttp://a/ HTTP/1.1" E H E),

	/* field lines */
	BAD(OBS_FOLD, G H "X: a" E " b" E E),
	BAD(OBS_FOLD, G H "X: a" E "\tb" E E),
	BAD(OBS_FOLD, G " " H E),
	BAD(OBS_FOLD, G H "X: a" E " Content-Length: 5" E E),
	BAD(OBS_FOLD, G H "Transfer-Encoding:" E " chunked" E E),
	BAD(OBS_FOLD, G H " " E E),
	BAD(FIELD_NAME, G H "Content-Length : 5" E E),
	BAD(FIELD_NAME, G H "Transfer-Encoding\t: chunked" E E),
	BAD(FIELD_NAME, G "Host : a" E E),
	BAD(FIELD_NAME, G H ": a" E E),
	BAD(FIELD_NAME, G H "a" E E),
	BAD(FIELD_NAME, G H "a b: c" E E),
	BAD(FIELD_NAME, G H "\"a\": c" E E),
	BAD(FIELD_NAME, G H "a,b: c" E E),
	BAD(FIELD_NAME, G H "caf\xc3\xa9: c" E E),
	BAD(FIELD_NAME,
		G H "\xef\xbb\xbf"
		    "Content-Length: 5" E E),
	BAD(FIELD_NAME, G H "GET /evil HTTP/1.1" E E),
	BAD(TOO_MANY, G H "A:1" E "B:2" E "C:3" E "D:4" E "E:5" E "F:6" E "G:7" E "H:8" E E),

	/* host */
	BAD(HOST, G E),
	BAD(HOST, G "Host:" E E),
	BAD(HOST, G "Host: " E E),
	BAD(HOST, G "Host: a" E "Host: a" E E),
	BAD(HOST, G "Host: a" E "hOST: b" E E),
	BAD(HOST, "GET / HTTP/1.0" E "Host: a" E "Host: b" E E),
	BAD(HOST, "GET / HTTP/1.0" E "Host: a b" E E),
	BAD(HOST, G "Host: a b" E E),
	BAD(HOST, G "Host: a, b" E E),
	BAD(HOST, G "Host: a,b" E E),
	BAD(HOST, G "Host: u@a" E E),
	BAD(HOST, G "Host: u:p@a" E E),
	BAD(HOST, G "Host: http://a" E E),
	BAD(HOST, G "Host: a/b" E E),
	BAD(HOST, G "Host: a?b" E E),
	BAD(HOST, G "Host: a\\b" E E),
	BAD(HOST, G "Host: a%00" E E),
	BAD(HOST, G "Host: :80" E E),
	BAD(HOST, G "Host: a:80:80" E E),
	BAD(HOST, G "Host: a:65536" E E),
	BAD(HOST, G "Host: a:000080" E E),
	BAD(HOST, G "Host: a:-1" E E),
	BAD(HOST, G "Host: a:8x" E E),
	BAD(HOST, G "Host: ::1" E E),
	BAD(HOST, G "Host: []" E E),
	BAD(HOST, G "Host: [::1" E E),
	BAD(HOST, G "Host: [::1]x" E E),
	BAD(HOST, G "Host: [::1]80" E E),
	BAD(HOST, G "Host: [::g]" E E),
	BAD(HOST, G "Host: [fe80::1%25eth0]" E E),
	BAD(HOST, G "Host: [v1.a]" E E),
	BAD(HOST, G "Host: [1:2:3:4:5:6:7:8:9:10:11:12:13:14:15:16:17:18:19:20]" E E),
	BAD(HOST, G "Host: caf\xc3\xa9" E E),
	BAD(HOST, "GET http://b/ HTTP/1.1" E E),
	BAD(HOST, "GET http://b/ HTTP/1.1" E "Host: a b" E E),
	BAD(HOST, "GET http://b/ HTTP/1.1" E "Host: b" E "Host: b" E E),

	/* framing */
	BAD(LENGTH_AND_CODING, P "Content-Length: 5" E "Transfer-Encoding: chunked" E E),
	BAD(LENGTH_AND_CODING, P "Transfer-Encoding: chunked" E "Content-Length: 5" E E),
	BAD(LENGTH_AND_CODING, P "Transfer-Encoding: chunked" E "Content-Length: 0" E E),
	BAD(LENGTH_AND_CODING, P "Transfer-Encoding: identity" E "Content-Length: 5" E E),
	BAD(LENGTH_AND_CODING, P "Content-Length:" E "Transfer-Encoding: xchunked" E E),
	BAD(LENGTH_AND_CODING,
		P "Connection: Transfer-Encoding" E "Transfer-Encoding: chunked" E
		  "Content-Length: 5" E E),
	BAD(LENGTH, P "Content-Length: 5" E "Content-Length: 5" E E),
	BAD(LENGTH, P "Content-Length: 5" E "content-length: 6" E E),
	BAD(LENGTH, P "Content-Length: 0" E "X: a" E "Content-Length: 5" E E),
	BAD(LENGTH, P "Content-Length: 5, 5" E E),
	BAD(LENGTH, P "Content-Length: 5,6" E E),
	BAD(LENGTH, P "Content-Length: 5," E E),
	BAD(LENGTH, P "Content-Length:" E E),
	BAD(LENGTH, P "Content-Length: +5" E E),
	BAD(LENGTH, P "Content-Length: -5" E E),
	BAD(LENGTH, P "Content-Length: -0" E E),
	BAD(LENGTH, P "Content-Length: 5 5" E E),
	BAD(LENGTH, P "Content-Length: 1_0" E E),
	BAD(LENGTH, P "Content-Length: 0x5" E E),
	BAD(LENGTH, P "Content-Length: 5.0" E E),
	BAD(LENGTH, P "Content-Length: 1e2" E E),
	BAD(LENGTH, P "Content-Length: \"5\"" E E),
	BAD(LENGTH, P "Content-Length: 5;a=b" E E),
	BAD(LENGTH, P "Content-Length: \xef\xbc\x95" E E),
	BAD(LENGTH, P "Content-Length: 9223372036854775808" E E),
	BAD(LENGTH, P "Content-Length: 18446744073709551616" E E),
	BAD(LENGTH, P "Content-Length: 18446744073709551621" E E),
	BAD(LENGTH, P "Content-Length: 99999999999999999999999999999999" E E),
	BAD(CODING, P "Transfer-Encoding:" E E),
	BAD(CODING, P "Transfer-Encoding: identity" E E),
	BAD(CODING, P "Transfer-Encoding: gzip" E E),
	BAD(CODING, P "Transfer-Encoding: gzip, chunked" E E),
	BAD(CODING, P "Transfer-Encoding: chunked, identity" E E),
	BAD(CODING, P "Transfer-Encoding: chunked, chunked" E E),
	BAD(CODING, P "Transfer-Encoding: chunked" E "Transfer-Encoding: chunked" E E),
	BAD(CODING, P "Transfer-Encoding: chunked" E "transfer-encoding: identity" E E),
	BAD(CODING, P "Transfer-Encoding: identity" E "Transfer-Encoding: chunked" E E),
	BAD(CODING, P "Transfer-Encoding: ,chunked" E E),
	BAD(CODING, P "Transfer-Encoding: chunked," E E),
	BAD(CODING, P "Transfer-Encoding: chunked;q=1" E E),
	BAD(CODING, P "Transfer-Encoding: \"chunked\"" E E),
	BAD(CODING, P "Transfer-Encoding: 'chunked'" E E),
	BAD(CODING, P "Transfer-Encoding: xchunked" E E),
	BAD(CODING, P "Transfer-Encoding: chunkedx" E E),
	BAD(CODING, P "Transfer-Encoding: chunk" E E),
	BAD(CODING,
		P "Transfer-Encoding: \xc2\xa0"
		  "chunked" E E),
	BAD(CODING_IN_10, "POST / HTTP/1.0" E "Transfer-Encoding: chunked" E E),
	BAD(CODING_IN_10,
		"POST / HTTP/1.0" E "Transfer-Encoding: chunked" E "Content-Length: 5" E E),
	BAD(EXPECT, P "Expect: 100-continued" E E),
	BAD(EXPECT, P "Expect: 200-ok" E E),
	BAD(EXPECT, P "Expect: 100-continue, x" E E),
	BAD(EXPECT, P "Expect: 100-continue" E "Expect: x" E E),
	BAD(EXPECT, P "Expect: 100-continue;a=b" E E),
};

struct reply_case {
	struct str text;
	const char *method;
	unsigned status;
	enum head_fault fault;
	enum framing kind;
	uint64_t length;
	bool close;
	const char *reason; /* checked when given */
};

#define OK "HTTP/1.1 200 OK\r\n"
#define NO(why, head)                                                         \
	{                                                                     \
		.text = STR_INIT(head), .method = "POST", .fault = HEAD_##why \
	}
#define FOR(verb, head, ...)                      \
	{                                         \
		STR_INIT(head), verb, __VA_ARGS__ \
	}
#define YES(...) FOR("POST", __VA_ARGS__)

static const struct reply_case replies[] = {
	YES(OK "Content-Length: 5" E E, 200, .kind = FRAMING_LENGTH, .length = 5, .reason = "OK"),
	YES(OK "Content-Length: 0" E E, 200, .kind = FRAMING_LENGTH),
	YES(OK "Transfer-Encoding: chunked" E E, 200, .kind = FRAMING_CHUNKED),
	YES(OK "Transfer-Encoding: Chunked" E "Connection: close" E E, 200, .kind = FRAMING_CHUNKED,
		.close = true),
	YES(OK E, 200, .kind = FRAMING_CLOSE, .close = true),
	YES(OK "Connection: keep-alive" E E, 200, .kind = FRAMING_CLOSE, .close = true),
	YES("HTTP/1.1 200" E "Content-Length: 1" E E, 200, .kind = FRAMING_LENGTH, .length = 1,
		.reason = ""),
	YES("HTTP/1.1 200 " E "Content-Length: 1" E E, 200, .kind = FRAMING_LENGTH, .length = 1,
		.reason = ""),
	YES("HTTP/1.1 404 Not  Found\t\xc3\xa9 " E "Content-Length: 1" E E, 404,
		.kind = FRAMING_LENGTH, .length = 1, .reason = "Not  Found\t\xc3\xa9 "),
	YES("HTTP/1.0 200 OK" E "Content-Length: 1" E E, 200, .kind = FRAMING_LENGTH, .length = 1,
		.close = true),
	YES("HTTP/1.0 200 OK" E "Content-Length: 1" E "Connection: keep-alive" E E, 200,
		.kind = FRAMING_LENGTH, .length = 1),
	YES("HTTP/1.0 200 OK" E E, 200, .kind = FRAMING_CLOSE, .close = true),
	YES("HTTP/1.5 200 OK" E "Content-Length: 1" E E, 200, .kind = FRAMING_LENGTH, .length = 1),
	YES("HTTP/1.1 599 x" E "Content-Length: 1" E E, 599, .kind = FRAMING_LENGTH, .length = 1),
	YES(OK "Content-Length: 5, 5" E E, 200, .kind = FRAMING_LENGTH, .length = 5),
	YES(OK "Content-Length: 5,5 , 05" E E, 200, .kind = FRAMING_LENGTH, .length = 5),
	YES(OK "Content-Length: 5" E "content-length: 5" E E, 200, .kind = FRAMING_LENGTH,
		.length = 5),
	YES("HTTP/1.1 100 Continue" E E, 100, .kind = FRAMING_NONE),
	YES("HTTP/1.1 103 Early Hints" E "Link: <a>" E E, 103, .kind = FRAMING_NONE),
	YES("HTTP/1.1 103 Early Hints" E "Content-Length: 3" E E, 103, .kind = FRAMING_NONE,
		.close = true),
	YES("HTTP/1.1 204 No Content" E E, 204, .kind = FRAMING_NONE),
	YES("HTTP/1.1 204 No Content" E "Content-Length: 0" E E, 204, .kind = FRAMING_NONE),
	YES("HTTP/1.1 204 No Content" E "Content-Length: 5" E E, 204, .kind = FRAMING_NONE,
		.close = true),
	YES("HTTP/1.1 204 No Content" E "Transfer-Encoding: chunked" E E, 204, .kind = FRAMING_NONE,
		.close = true),
	YES("HTTP/1.1 304 Not Modified" E "Content-Length: 5" E E, 304, .kind = FRAMING_NONE),
	YES("HTTP/1.1 205 Reset" E "Content-Length: 0" E E, 205, .kind = FRAMING_LENGTH),
	FOR("HEAD", OK "Content-Length: 5" E E, 200, .kind = FRAMING_NONE),
	FOR("HEAD", OK "Transfer-Encoding: chunked" E E, 200, .kind = FRAMING_NONE),
	FOR("HEAD", OK E, 200, .kind = FRAMING_NONE),
	FOR("head", OK "Content-Length: 5" E E, 200, .kind = FRAMING_LENGTH, .length = 5),

	NO(SWITCH, "HTTP/1.1 101 Switching Protocols" E "Upgrade: websocket" E E),
	NO(STATUS_LINE, E E),
	NO(STATUS_LINE, "HTTP/1.1" E E),
	NO(STATUS_LINE, "HTTP/1.1 " E E),
	NO(STATUS_LINE, "HTTP/1.1 20" E E),
	NO(STATUS_LINE, "HTTP/1.1 2000 OK" E E),
	NO(STATUS_LINE, "HTTP/1.1 20x OK" E E),
	NO(STATUS_LINE, "HTTP/1.1  200 OK" E E),
	NO(STATUS_LINE, "HTTP/1.1 099 OK" E E),
	NO(STATUS_LINE, "HTTP/1.1 600 OK" E E),
	NO(STATUS_LINE, "HTTP/1.1 200\tOK" E E),
	NO(STATUS_LINE, "HTTP/1.1\t200 OK" E E),
	NO(STATUS_LINE, " HTTP/1.1 200 OK" E E),
	NO(STATUS_LINE, "ICY 200 OK" E E),
	NO(STATUS_LINE, "http/1.1 200 OK" E E),
	NO(STATUS_LINE, "HTTP/1.10 200 OK" E E),
	NO(STATUS_LINE, "{\"error\":\"not http at all\"}" E E),
	NO(VERSION, "HTTP/2.0 200 OK" E E),
	NO(BARE_LF, "HTTP/1.1 200 OK\n\n"),
	NO(BARE_CR, "HTTP/1.1 200 OK\rX: y" E E),
	NO(CONTROL, "HTTP/1.1 200 O\0K" E E),
	NO(OBS_FOLD, OK "X: a" E " b" E E),
	NO(FIELD_NAME, OK "Content-Length : 5" E E),
	NO(LENGTH_AND_CODING, OK "Content-Length: 5" E "Transfer-Encoding: chunked" E E),
	NO(LENGTH_AND_CODING,
		"HTTP/1.1 204 No Content" E "Content-Length: 5" E "Transfer-Encoding: chunked" E E),
	NO(LENGTH, OK "Content-Length: 5, 6" E E),
	NO(LENGTH, OK "Content-Length: 5" E "Content-Length: 6" E E),
	NO(LENGTH, OK "Content-Length: 5, 5" E "Content-Length: 6" E E),
	NO(LENGTH, OK "Content-Length: 5" E "Content-Length:" E E),
	NO(LENGTH, OK "Content-Length: 5," E E),
	NO(LENGTH, OK "Content-Length: ,5" E E),
	NO(LENGTH, OK "Content-Length:" E E),
	NO(LENGTH, OK "Content-Length: -1" E E),
	NO(LENGTH, OK "Content-Length: 18446744073709551616" E E),
	NO(CODING, OK "Transfer-Encoding: gzip, chunked" E E),
	NO(CODING, OK "Transfer-Encoding: identity" E E),
	NO(CODING, OK "Transfer-Encoding: chunked" E "Transfer-Encoding: chunked" E E),
	NO(CODING_IN_10, "HTTP/1.0 200 OK" E "Transfer-Encoding: chunked" E E),
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static enum head_fault
read_request(struct head *h, struct head_framing *f, struct str whole)
{
	enum head_fault fault = HEAD_OK;

	if (head_parse_request(h, whole, &fault) == 0 && head_framing_request(h, f, &fault) == 0)
		ck_assert_uint_eq(fault, HEAD_OK);
	return fault;
}

static enum head_fault
read_reply(struct head *h, struct head_framing *f, const char *method, struct str whole)
{
	enum head_fault fault = HEAD_OK;

	if (head_parse_reply(h, whole, &fault) == 0 &&
		head_framing_reply(h, str_of(method), f, &fault) == 0)
		ck_assert_uint_eq(fault, HEAD_OK);
	return fault;
}

/* head_end over the first `cut` bytes and then, if that wants more, over `step` bytes more each
 * time. */
static long
find_end(struct str text, size_t cut, size_t step, enum head_fault *fault)
{
	size_t scanned = 0;

	for (size_t len = cut;; len += step) {
		long end = head_end(str_head(text, len), HEAD_MAX, &scanned, fault);
		if (end != 0 || len >= text.len)
			return end;
	}
}

/* Wherever the text is cut, its end or its fault is found as in the whole. */
static void
check_cuts(struct str text, long end, enum head_fault fault)
{
	for (size_t cut = 0; cut <= text.len; cut++) {
		enum head_fault other = HEAD_OK;
		ck_assert_int_eq(find_end(text, cut, text.len, &other), end);
		ck_assert_uint_eq(other, fault);
		ck_assert_int_eq(find_end(text, cut, 1, &other), end);
		ck_assert_uint_eq(other, fault);
	}
}

static void
check_str(struct str got, const char *expected, const char *what)
{
	if (expected != NULL)
		ck_assert_msg(str_eq(got, str_of(expected)), "%s is \"%.*s\", not \"%s\"", what,
			STR_ARG(got), expected);
}

START_TEST(test_requests)
{
	for (size_t i = 0; i < COUNT(requests); i++) {
		const struct request_case *c = &requests[i];
		struct str text = str_skip(c->text, head_leading(c->text));
		struct field fields[FIELDS_MAX];
		struct head h = { .fields = fields, .cap = FIELDS_MAX };
		struct head_framing f;
		enum head_fault fault = HEAD_OK;
		long end = find_end(text, text.len, 1, &fault);

		check_cuts(text, end, fault);
		ck_assert_msg(end != 0, "row %zu has no end", i);
		if (end > 0)
			fault = read_request(&h, &f, str_head(text, (size_t)end));
		ck_assert_msg(fault == c->fault, "row %zu (%.*s): %s", i, STR_ARG(c->text),
			head_fault_text(fault));
		if (fault != HEAD_OK)
			continue;
		ck_assert_uint_eq((size_t)end, text.len);
		ck_assert_msg(f.kind == c->kind && f.length == c->length, "row %zu: framing %d %lu",
			i, f.kind, (unsigned long)f.length);
		ck_assert_msg(f.keep_alive == !c->close, "row %zu: keep_alive %d", i, f.keep_alive);
		ck_assert_msg(f.expect_continue == c->expect, "row %zu: expect_continue %d", i,
			f.expect_continue);
		check_str(h.path, c->path, "path");
		check_str(h.query, c->query, "query");
		ck_assert(c->path == NULL || (h.query.p != NULL) == (c->query != NULL));
		check_str(h.authority,
			c->path == NULL                ? NULL
				: c->authority == NULL ? ""
						       : c->authority,
			"authority");
	}
}
END_TEST

START_TEST(test_replies)
{
	for (size_t i = 0; i < COUNT(replies); i++) {
		const struct reply_case *c = &replies[i];
		struct field fields[FIELDS_MAX];
		struct head h = { .fields = fields, .cap = FIELDS_MAX };
		struct head_framing f;
		enum head_fault fault = HEAD_OK;
		long end = find_end(c->text, c->text.len, 1, &fault);

		check_cuts(c->text, end, fault);
		ck_assert_msg(end != 0, "row %zu has no end", i);
		if (end > 0)
			fault = read_reply(&h, &f, c->method, str_head(c->text, (size_t)end));
		ck_assert_msg(fault == c->fault, "row %zu (%.*s): %s", i, STR_ARG(c->text),
			head_fault_text(fault));
		if (fault != HEAD_OK)
			continue;
		ck_assert_uint_eq((size_t)end, c->text.len);
		ck_assert_uint_eq(h.status, c->status);
		ck_assert_msg(f.kind == c->kind && f.length == c->length, "row %zu: framing %d %lu",
			i, f.kind, (unsigned long)f.length);
		ck_assert_msg(f.keep_alive == !c->close, "row %zu: keep_alive %d", i, f.keep_alive);
		ck_assert(!f.expect_continue);
		check_str(h.reason, c->reason, "reason");
	}
}
END_TEST

/* A head from anywhere: nothing in the parsers leans on head_end having refused what it refuses. */
START_TEST(test_parsers_trust_nobody)
{
	static const struct {
		struct str text;
		enum head_fault fault;
	} rows[] = {
		{ STR_INIT(""), HEAD_START_LINE },
		{ STR_INIT("\r\n"), HEAD_START_LINE },
		{ STR_INIT(G H), HEAD_START_LINE },
		{ STR_INIT(G H "\r\n\n"), HEAD_START_LINE },
		{ STR_INIT("GET / HTTP/1.1\n" H E), HEAD_BARE_LF },
		{ STR_INIT("\nGET / HTTP/1.1" E H E), HEAD_BARE_LF },
		{ STR_INIT(G "Host: a\n" E E), HEAD_BARE_LF },
		{ STR_INIT(G H E G H E), HEAD_FIELD_NAME },
		{ STR_INIT(G H "X: a\rb" E E), HEAD_FIELD_VALUE },
		{ STR_INIT(G H "X: a\0b" E E), HEAD_FIELD_VALUE },
		{ STR_INIT(G H "X: 12345678901234567\x01" E E), HEAD_FIELD_VALUE },
		{ STR_INIT(G H "X\r: a" E E), HEAD_FIELD_NAME },
		{ STR_INIT("GET /\r HTTP/1.1" E H E), HEAD_TARGET },
		{ STR_INIT("G\0T / HTTP/1.1" E H E), HEAD_METHOD },
		{ STR_INIT("GET http://[::1\0]/ HTTP/1.1" E H E), HEAD_TARGET },
		{ STR_INIT(G "Host: [::1\0]" E E), HEAD_FIELD_VALUE },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct field fields[FIELDS_MAX];
		struct head h = { .fields = fields, .cap = FIELDS_MAX };
		enum head_fault fault = HEAD_OK;
		ck_assert_int_eq(head_parse_request(&h, rows[i].text, &fault), -1);
		ck_assert_msg(fault == rows[i].fault, "row %zu: %s", i, head_fault_text(fault));
	}
}
END_TEST

START_TEST(test_reason_with_control)
{
	struct head h = { .cap = 0 };
	enum head_fault fault = HEAD_OK;

	ck_assert_int_eq(head_parse_reply(&h, STR("HTTP/1.1 200 O\x01K\r\n\r\n"), &fault), -1);
	ck_assert_uint_eq(fault, HEAD_STATUS_LINE);
}
END_TEST

/* Names of all lengths and first letters, of which some share what a head remembers of its names:
 * each that is there is found, whatever its case, and no other. */
START_TEST(test_every_name_is_found)
{
	char text[64];

	for (char first = 'a'; first <= 'z'; first++) {
		for (size_t len = 1; len < 30; len++) {
			struct field fields[1];
			struct head h = { .fields = fields, .cap = 1 };
			enum head_fault fault;
			char name[32];

			memset(name, 'b', sizeof name);
			name[0] = first;
			snprintf(text, sizeof text, "HTTP/1.1 200 OK\r\n%.*s: v\r\n\r\n", (int)len,
				name);
			ck_assert_int_eq(head_parse_reply(&h, str_of(text), &fault), 0);
			name[0] = (char)(first & ~0x20);
			for (char other = 'A'; other <= 'Z'; other++) {
				for (size_t n = 1; n < 30; n++) {
					struct str asked = { name, n };
					bool there = other == (char)(first & ~0x20) && n == len;

					name[0] = other;
					ck_assert(!head_field(&h, asked) == !there);
				}
			}
		}
	}
}
END_TEST

/* Every byte at every place of a field's value, so that each lane of the word-wise scan is met. */
START_TEST(test_control_bytes_in_every_lane)
{
	char text[32];

	for (size_t at = 0; at < 24; at++) {
		for (int byte = 0; byte < 256; byte++) {
			bool refused = (byte < 0x20 && byte != '\t') || byte == 0x7f;
			memset(text, "a\t "[at % 3], sizeof text);
			text[0] = text[25] = 'x';
			text[1 + at] = (char)byte;
			struct str value = { text, 26 };
			ck_assert_msg(head_value_valid(value) == !refused, "byte %d at %zu", byte,
				1 + at);
		}
	}
}
END_TEST

START_TEST(test_value_and_token)
{
	ck_assert(head_value_valid(STR("")));
	ck_assert(head_value_valid(STR("a b\tc")));
	ck_assert(head_value_valid(STR("caf\xc3\xa9")));
	ck_assert(!head_value_valid(STR(" a")));
	ck_assert(!head_value_valid(STR("a\t")));
	ck_assert(!head_value_valid(STR("a\r\nX: y")));
	ck_assert(head_token_valid(STR("x-Odd_1~!#$%&'*+.^`|")));
	ck_assert(!head_token_valid(STR("")));
	for (const char *p = "()<>@,;:\\\"/[]?={} \t\x7f\x80\xff"; *p != '\0'; p++)
		ck_assert_msg(!head_token_valid((struct str){ p, 1 }), "%02x", (unsigned char)*p);
	ck_assert(!head_token_valid(STR("a\0")));
	for (int byte = 0; byte < 256; byte++) { /* in every lane of those that are read at once */
		char one = (char)byte, name[11];
		bool valid = head_token_valid((struct str){ &one, 1 });

		for (size_t at = 0; at < sizeof name; at++) {
			memcpy(name, "Accept-Name", sizeof name);
			name[at] = one;
			ck_assert_msg(head_token_valid((struct str){ name, sizeof name }) == valid,
				"%02x at %zu", byte, at);
		}
	}
}
END_TEST

START_TEST(test_hex_digits)
{
	static const char digits[] = "0123456789abcdef", capitals[] = "0123456789ABCDEF";
	int valid = 0;

	for (int i = 0; i < 16; i++) {
		ck_assert_int_eq(head_hex_value(digits[i]), i);
		ck_assert_int_eq(head_hex_value(capitals[i]), i);
	}
	for (int c = -128; c < 128; c++)
		valid += head_hex_value((char)c) >= 0;
	ck_assert_int_eq(valid, 22);
}
END_TEST

START_TEST(test_limit)
{
	static const char text[] = G H "X: 1234" E E;
	struct str whole = { text, sizeof text - 1 };
	enum head_fault fault = HEAD_OK;
	size_t scanned = 0;

	ck_assert_int_eq(head_end(whole, whole.len, &scanned, &fault), (long)whole.len);
	for (size_t max = 1; max < whole.len; max++) {
		enum head_fault expected = max < strlen(G) ? HEAD_TARGET_TOO_LONG : HEAD_TOO_LARGE;
		scanned = 0;
		ck_assert_int_eq(head_end(str_head(whole, max - 1), max, &scanned, &fault), 0);
		ck_assert_int_eq(head_end(str_head(whole, max), max, &scanned, &fault), -1);
		for (size_t step = 1; step <= whole.len; step++) {
			long end = 0;
			scanned = 0;
			for (size_t len = 0; end == 0; len += step)
				end = head_end(str_head(whole, len), max, &scanned, &fault);
			ck_assert_int_eq(end, -1);
			ck_assert_msg(fault == expected, "max %zu, step %zu: %s", max, step,
				head_fault_text(fault));
		}
	}
}
END_TEST

/* The bytes behind a head are the body's or the next request's: head_end neither looks at them nor
 * counts them. */
START_TEST(test_what_follows_a_head)
{
	static const char text[] = G H E "\0\n\r\x01 anything";
	struct str whole = { text, sizeof text - 1 };
	size_t len = strlen(G H E), scanned = 0;
	enum head_fault fault = HEAD_OK;

	ck_assert_int_eq(head_end(whole, len, &scanned, &fault), (long)len);
	for (size_t cut = 0; cut < len; cut++) {
		scanned = 0;
		ck_assert_int_eq(head_end(str_head(whole, cut), len, &scanned, &fault), 0);
		ck_assert_uint_le(scanned, cut);
		ck_assert_uint_ge(scanned + 1, cut);
		ck_assert_int_eq(head_end(whole, len, &scanned, &fault), (long)len);
	}
}
END_TEST

START_TEST(test_leading_line)
{
	enum head_fault fault = HEAD_OK;
	size_t scanned = 0;

	ck_assert_uint_eq(head_leading(STR("")), 0);
	ck_assert_uint_eq(head_leading(STR("\r")), 0);
	ck_assert_uint_eq(head_leading(STR("\r\n")), 2);
	ck_assert_uint_eq(head_leading(STR("\r\n\r\n")), 2);
	ck_assert_uint_eq(head_leading(STR("\n\r\n")), 0);
	ck_assert_uint_eq(head_leading(STR("GET")), 0);
	/* Half of it does not move the mark, so that the caller may still skip it. */
	ck_assert_int_eq(head_end(STR("\r"), 10, &scanned, &fault), 0);
	ck_assert_uint_eq(scanned, 0);
	ck_assert_int_eq(head_end((struct str){ NULL, 0 }, 10, &scanned, &fault), 0);
}
END_TEST

/* Parses a request that must be in order. */
static void
parse(struct head *h, struct field *fields, struct str text)
{
	enum head_fault fault = HEAD_OK;

	*h = (struct head){ .fields = fields, .cap = FIELDS_MAX };
	ck_assert_msg(head_parse_request(h, text, &fault) == 0, "%s", head_fault_text(fault));
}

START_TEST(test_fields)
{
	struct field fields[FIELDS_MAX];
	struct head h;

	parse(&h, fields,
		STR("POST /x HTTP/1.1" E H "Accept:  a, b \t" E "X-Empty: " E "accept: c" E E));
	check_str(h.method, "POST", "method");
	check_str(h.target, "/x", "target");
	ck_assert_uint_eq(h.minor, 1);
	ck_assert_uint_eq(h.n, 4);
	check_str(head_value(&h, STR("ACCEPT")), "a, b", "Accept");
	ck_assert_ptr_eq(head_field(&h, STR("accept")), &fields[1]);
	check_str(fields[3].value, "c", "second Accept");
	ck_assert_ptr_nonnull(head_value(&h, STR("x-empty")).p);
	ck_assert_uint_eq(head_value(&h, STR("x-empty")).len, 0);
	ck_assert_ptr_null(head_field(&h, STR("accep")));
	ck_assert_ptr_null(head_value(&h, STR("x")).p);
	parse(&h, fields, STR("GET / HTTP/1.0" E E));
	ck_assert_uint_eq(h.minor, 0);
	ck_assert_uint_eq(h.n, 0);
	ck_assert_ptr_null(head_field(&h, STR("host")));
}
END_TEST

START_TEST(test_hop_by_hop)
{
	static const char *const own[] = { "Connection", "keep-alive", "TE", "Trailer",
		"Transfer-Encoding", "UPGRADE", "Proxy-Connection", "Proxy-Authorization",
		"proxy-authenticate" };
	struct field fields[FIELDS_MAX];
	struct head h;

	parse(&h, fields,
		STR(G H "Connection: X-One, close" E "X-Two: Connection" E
			"connection: ,x-three ," E E));
	for (size_t i = 0; i < COUNT(own); i++)
		ck_assert_msg(head_hop_by_hop(&h, str_of(own[i])), "%s", own[i]);
	ck_assert(head_hop_by_hop(&h, STR("x-one")));
	ck_assert(head_hop_by_hop(&h, STR("X-THREE")));
	ck_assert(head_hop_by_hop(&h, STR("Close")));
	ck_assert(!head_hop_by_hop(&h, STR("x-two")));
	ck_assert(!head_hop_by_hop(&h, STR("x-on")));
	ck_assert(!head_hop_by_hop(&h, STR("x-one-more")));
	ck_assert(!head_hop_by_hop(&h, STR("")));
	ck_assert(!head_hop_by_hop(&h, STR("host")));
	ck_assert(!head_hop_by_hop(&h, STR("proxy")));
}
END_TEST

START_TEST(test_media_type)
{
	check_str(head_media_type(STR("Text/Event-Stream; charset=x")), "Text/Event-Stream",
		"media type");
	check_str(head_media_type(STR(" application/json\t;a;b")), "application/json",
		"media type");
	check_str(head_media_type(STR("text/plain")), "text/plain", "media type");
	check_str(head_media_type(STR(";a")), "", "media type");
	ck_assert_uint_eq(head_media_type((struct str){ NULL, 0 }).len, 0);
}
END_TEST

START_TEST(test_path_decode)
{
	static const struct {
		struct str path;
		const char *expected; /* NULL: refused */
	} rows[] = {
		{ STR_INIT("/v1/models"), "/v1/models" },
		{ STR_INIT(""), "" },
		{ STR_INIT("*"), "*" },
		{ STR_INIT("/v1/models/meta%3Allama%2f3"), "/v1/models/meta:llama%2f3" },
		{ STR_INIT("/a%2Fb%2fc"), "/a%2Fb%2fc" },
		{ STR_INIT("/%41%7a%C3%A9"), "/Az\xc3\xa9" },
		{ STR_INIT("/%252e%252e/a"), "/%2e%2e/a" },
		{ STR_INIT("/a+b"), "/a+b" },
		{ STR_INIT("/..."), "/..." },
		{ STR_INIT("/.a/b./..c/d.."), "/.a/b./..c/d.." },
		{ STR_INIT("//a//"), "//a//" },
		{ STR_INIT("/%"), NULL },
		{ STR_INIT("/%4"), NULL },
		{ STR_INIT("/%4g"), NULL },
		{ STR_INIT("/%g4"), NULL },
		{ STR_INIT("/% 41"), NULL },
		{ STR_INIT("/%00"), NULL },
		{ STR_INIT("/a%0d%0aX"), NULL },
		{ STR_INIT("/a%7f"), NULL },
		{ STR_INIT("/a\0b"), NULL },
		{ STR_INIT("."), NULL },
		{ STR_INIT(".."), NULL },
		{ STR_INIT("/./a"), NULL },
		{ STR_INIT("/a/.."), NULL },
		{ STR_INIT("/a/../b"), NULL },
		{ STR_INIT("/a/%2e%2E/b"), NULL },
		{ STR_INIT("/a/.%2e"), NULL },
		{ STR_INIT("/a/%2e"), NULL },
		{ STR_INIT("/a/..%2fb"), NULL },
		{ STR_INIT("/a%2F..%2Fb"), NULL },
		{ STR_INIT("/a/..\\b"), NULL },
		{ STR_INIT("/a%5c..%5Cb"), NULL },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		/* Exactly as large as the contract asks, so that a sanitizer sees one byte more. */
		char *out = malloc(rows[i].path.len + (rows[i].path.len == 0));
		long len = head_path_decode(rows[i].path, out);
		ck_assert_msg((len >= 0) == (rows[i].expected != NULL), "row %zu: %ld", i, len);
		if (len >= 0)
			check_str((struct str){ out, (size_t)len }, rows[i].expected, "path");
		free(out);
	}
}
END_TEST

START_TEST(test_fault_table)
{
	ck_assert_uint_eq(head_fault_status(HEAD_TOO_LARGE), 431);
	ck_assert_uint_eq(head_fault_status(HEAD_TOO_MANY), 431);
	ck_assert_uint_eq(head_fault_status(HEAD_TARGET_TOO_LONG), 414);
	ck_assert_uint_eq(head_fault_status(HEAD_VERSION), 505);
	ck_assert_uint_eq(head_fault_status(HEAD_CODING), 501);
	ck_assert_uint_eq(head_fault_status(HEAD_EXPECT), 417);
	ck_assert_uint_eq(head_fault_status(HEAD_LENGTH_AND_CODING), 400);
	ck_assert_uint_eq(head_fault_status(HEAD_STATUS_LINE), 502);
	ck_assert_uint_eq(head_fault_status(HEAD_SWITCH), 502);
	ck_assert_str_eq(head_fault_text(HEAD_LENGTH_AND_CODING),
		"Content-Length and Transfer-Encoding stand together");
	ck_assert_str_eq(head_fault_text(HEAD_FIELD_NAME),
		"a field name is not a token, or white space stands before its colon");
	for (unsigned fault = HEAD_BARE_LF; fault <= HEAD_SWITCH; fault++) {
		ck_assert_uint_ge(head_fault_status(fault), 400);
		ck_assert_uint_lt(head_fault_status(fault), 600);
		ck_assert_uint_gt(strlen(head_fault_text(fault)), 10);
	}
}
END_TEST

UNIT_MAIN("http/head", test_requests, test_replies, test_parsers_trust_nobody,
	test_reason_with_control, test_every_name_is_found, test_control_bytes_in_every_lane,
	test_value_and_token, test_hex_digits, test_limit, test_what_follows_a_head,
	test_leading_line, test_fields, test_hop_by_hop, test_media_type, test_path_decode,
	test_fault_table)
