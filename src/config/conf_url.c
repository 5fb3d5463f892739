/*
 * conf_url: base_url taken apart into what a request upstream needs.
 *
 * Called by conf_provider. The URL is what one would give to the vendor's own SDK: scheme, host,
 * port, path and perhaps a query (RFC 3986). It is refused with a sentence when it holds what
 * cannot be sent: a user, a fragment, white space, a broken host or port. The sentence never shows
 * the URL, which may hold a password.
 */
#include "config/conf_private.h"

#include <string.h>

/* Longest host name of the DNS, in its written form. */
#define HOST_MOST 253

static bool
is_host_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

/* A name as the DNS has them, in small letters: labels that are not empty. */
static bool
is_host(struct str s)
{
	if (s.len == 0 || s.len > HOST_MOST || s.p[0] == '.' || s.p[0] == '-')
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_host_byte(s.p[i]) || (s.p[i] == '.' && i > 0 && s.p[i - 1] == '.'))
			return false;
	}
	return true;
}

static struct str
lower(struct arena *a, struct str s)
{
	char *p = arena_alloc(a, s.len + 1);

	if (!p)
		return (struct str){ "", 0 };
	for (size_t i = 0; i < s.len; i++)
		p[i] = s.p[i] >= 'A' && s.p[i] <= 'Z' ? (char)(s.p[i] | 0x20) : s.p[i];
	p[s.len] = '\0';
	return (struct str){ p, s.len };
}

/* May all of it stand in a request target (RFC 3986 3.3, 3.4)? */
static bool
is_target(struct str s)
{
	for (size_t i = 0; i < s.len; i++) {
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"<>\\^`{|}#", s.p[i]))
			return false;
	}
	return true;
}

static const char *
parse_port(struct str text, struct conf_provider *p)
{
	uint64_t n;

	p->port = p->https ? 443 : 80;
	if (text.len <= 1) /* an empty port is the scheme's (RFC 3986 3.2.3) */
		return NULL;
	if (str_u64(str_skip(text, 1), &n) < 0 || n < 1 || n > 65535)
		return "has a port that is not 1 to 65535";
	p->port = (uint16_t)n;
	return NULL;
}

/* host, host:port or [address]:port */
static const char *
parse_authority(struct arena *a, struct str s, struct conf_provider *p)
{
	bool bracket = str_starts(s, STR("["));
	size_t end = bracket ? str_index(s, ']') : str_index(s, ':');
	struct str port = str_skip(s, end + bracket);
	const char *fault;

	if (str_index(s, '@') < s.len)
		return "holds a user or a password: use api_key or headers";
	if (!bracket && str_index(str_skip(port, 1), ':') < str_skip(port, 1).len)
		return "has an IPv6 address that must stand in [ ]";
	if ((bracket && end == s.len) || (port.len > 0 && port.p[0] != ':'))
		return "has an IPv6 address that is not closed by ]";
	p->host = lower(a, str_skip(str_head(s, end), bracket));
	fault = parse_port(port, p);
	if (fault)
		return fault;
	p->is_numeric = p->host.len > 0 && sock_parse(p->host, p->port, &p->numeric) == 0;
	if (bracket && !(p->is_numeric && p->numeric.any.sa_family == AF_INET6))
		return "has brackets that hold no IPv6 address";
	if (!p->is_numeric && !is_host(p->host))
		return "has no host, or one with a character that a host cannot have";
	return NULL;
}

static struct str
host_field(struct arena *a, const struct conf_provider *p)
{
	bool six = p->is_numeric && p->numeric.any.sa_family == AF_INET6;
	const char *open = six ? "[" : "", *close = six ? "]" : "";

	if (p->port == (p->https ? 443 : 80))
		return arena_printf(a, "%s%.*s%s", open, STR_ARG(p->host), close);
	return arena_printf(a, "%s%.*s%s:%u", open, STR_ARG(p->host), close, p->port);
}

const char *
conf_path_parse(struct arena *a, struct str written, struct str *path, struct str *query)
{
	size_t mark = str_index(written, '?');

	if (written.len == 0 || written.p[0] != '/')
		return "must begin with /: it is put behind base_url";
	if (!is_target(written))
		return "holds a character that must be percent-encoded";
	*path = arena_copy(a, str_head(written, mark));
	*query = arena_copy(a, str_skip(written, mark + 1));
	return NULL;
}

const char *
conf_url_parse(struct arena *a, struct str url, struct conf_provider *p)
{
	struct str scheme = lower(a, str_head(url, strlen("https://")));
	struct str rest, path;
	size_t end = 0, query;
	const char *fault;

	p->https = str_starts(scheme, STR("https://"));
	if (!p->https && !str_starts(scheme, STR("http://")))
		return "must begin with https:// or http://";
	rest = str_skip(url, p->https ? strlen("https://") : strlen("http://"));
	if (str_index(rest, '#') < rest.len)
		return "holds a fragment (#), which is never sent";
	while (end < rest.len && rest.p[end] != '/' && rest.p[end] != '?')
		end++;
	fault = parse_authority(a, str_head(rest, end), p);
	if (fault)
		return fault;
	path = str_skip(rest, end);
	if (!is_target(path))
		return "holds a character that must be percent-encoded";
	query = str_index(path, '?');
	p->base_query = arena_copy(a, str_skip(path, query + 1));
	path = str_head(path, query);
	while (path.len > 0 && path.p[path.len - 1] == '/')
		path.len--;
	p->base_path = arena_copy(a, path);
	p->host_field = host_field(a, p);
	return NULL;
}
