/*
 * conf: the configuration: a libconfig file read into plain structs in one arena, which is sealed
 * read-only before the first fork.
 */
#ifndef CONFIG_CONF_H
#define CONFIG_CONF_H

#include <stdio.h>

#include "base/log.h"
#include "base/mem.h"
#include "config/secret.h"
#include "dialect/chat.h"
#include "net/sock.h"
#include "net/tls.h"

enum credential {
	CREDENTIAL_NONE,
	CREDENTIAL_PROVIDER,
	CREDENTIAL_CLIENT,
	CREDENTIAL_CLIENT_OR_PROVIDER
};

/*
 * Where something was written, for what fails only when it is put to use. Line 0: it was left out,
 * and `file` is that of the configuration.
 */
struct conf_spot {
	const char *file;
	unsigned line;
};

struct conf_listen {
	struct conf_spot at;
	struct str address; /* as written */
	uint16_t port;
	union sock_address socks[2]; /* "*" is two: [::] and 0.0.0.0 */
	unsigned n_socks;
	bool admin;
	struct str certificate_file, key_file, client_ca_file; /* empty: none */
	struct tls_context *tls;                               /* NULL: plain */
};

struct conf_header {
	struct str name, value;
};
struct conf_map {
	struct str from, to;
	uint16_t label; /* of `to` */
};

/* Of an attempt; milliseconds, 0 is none. */
struct conf_attempt {
	uint32_t connect_ms, first_byte_ms, idle_ms, total_ms;
};

/* Requests admitted of one client on one path: so many a minute, and up to `burst` at once. */
struct conf_rate {
	uint32_t per_minute; /* 0: no limit */
	uint32_t burst;      /* 0 means 1 */
};

struct conf_stream {
	uint32_t heartbeat_ms; /* 0: none */
	size_t buffer_bytes;
};

/* What a provider has for one of the client's paths alone. */
struct conf_endpoint {
	struct str path; /* the client's */
	const struct endpoint *endpoint;
	struct str upstream_path; /* as written, with its query; empty: the dialect's own */
	struct str target, query; /* the same taken apart, query without "?" */
	uint32_t method;          /* as an index of the words of the table, and */
	struct str method_name;
	struct conf_header *headers; /* its own */
	size_t n_headers;
	struct conf_header *all_headers; /* the provider's too, but for those of the same name */
	size_t n_all_headers;
	struct conf_rate rate;     /* the provider's where it has none of its own */
	struct conf_stream stream; /* likewise the general ones */
};

/* One of a provider's model_options: how to speak to the models of that name. */
struct conf_model {
	struct str model; /* glob, of the name upstream */
	struct chat_options chat;
};

/* Who is admitted: a name and the hash of a key. */
struct conf_client {
	struct str name;
	uint16_t label;
	struct str key; /* as -T shows it: the hash, or where the key comes from */
	uint8_t hash[SECRET_HASH];
	struct str *models;    /* globs */
	size_t n_models;       /* 0: all of them */
	struct conf_rate rate; /* conf.rate where it has none of its own */
};

enum reload { RELOAD_SIGNAL, RELOAD_AUTO };

struct conf_provider {
	struct str name;
	unsigned index; /* in conf.providers */
	uint16_t label; /* its number in the metrics, as all labels: given by count_name */
	enum dialect_id dialect;
	/* base_url, taken apart */
	struct str base_url;
	bool https;
	struct str host; /* without brackets, NUL behind it */
	uint16_t port;
	struct str host_field; /* value of the Host field: host, or host:port when the port is not
				  the scheme's own; IPv6 in brackets */
	struct str base_path;  /* "" or "/v1": no slash at the end */
	struct str base_query; /* without "?", usually empty */
	union sock_address numeric; /* when is_numeric: nothing to resolve */
	bool is_numeric;
	struct str api_key;      /* the secret itself; empty: none */
	struct str api_key_name; /* how the configuration names it ("env:OPENAI_API_KEY"; "a
				    literal"): for messages. A secret that could not be had
				    (variable not set) leaves api_key empty and this set */
	enum credential credential;
	struct conf_header *headers;
	size_t n_headers;
	struct str *models;
	uint16_t *model_labels;
	size_t n_models;
	struct conf_map *maps;
	size_t n_maps;
	struct str version;  /* anthropic-version to send when the client sent none */
	uint64_t max_tokens; /* to ask for where the dialect wants a number and the client gave
				none */
	bool reject;         /* what cannot be translated is a 400; else it is left out */
	struct conf_model *model_options;
	size_t n_model_options;
	struct conf_model other_models; /* the defaults, for those that none of them names */
	struct str server_name;         /* SNI and name to verify; default host */
	bool verify;                    /* false: the name is not checked either */
	struct str ca_file, certificate_file, key_file; /* absolute; empty: none. NUL behind them */
	struct tls_context *tls;                        /* NULL for http */
	struct {
		uint32_t max, idle, idle_timeout_ms;
	} connections; /* per worker; max 0 was replaced by limits.connections */
	struct conf_attempt timeouts;
	struct conf_rate rate;
	struct conf_endpoint *endpoints;
	size_t n_endpoints;
	const struct conf_endpoint *by_endpoint[ENDPOINTS]; /* NULL: nothing special */
	uint32_t echo_first_byte_ms, echo_interval_ms;
};

struct conf_target {
	const struct conf_provider *provider;
	struct str model; /* upstream name; empty: the client's through model_map */
	uint32_t weight;  /* 1..1000, default 1 */
	uint16_t label;   /* of `model` */
};

struct conf_route {
	struct str path, model; /* globs; "*" by default */
	bool literal_model;     /* `model` is a name, not a glob (made from a provider's models):
				   compare, do not match */
	struct conf_target *targets;
	size_t n_targets;
	uint32_t weights; /* their sum */
	uint16_t label;   /* of `model` */
	unsigned line;
};

struct conf {
	struct arena arena;
	struct str path; /* absolute */
	struct str user, group;
	bool seccomp;     /* workers are confined */
	unsigned workers; /* "auto" resolved */
	struct str pid_file;
	struct conf_spot pid_file_at;
	struct conf_listen *listens;
	size_t n_listens;
	struct {
		struct str file;
		struct conf_spot at; /* of `file` */
		enum log_level level;
		enum log_format format;
		bool given;
	} log;
	struct {
		struct str file;
		struct conf_spot at;
		enum log_format format;
		bool given;
	} access_log;
	struct {
		size_t connections, memory, header_bytes, headers, body_bytes, reply_bytes,
			event_bytes, rate_bytes, json_depth, rate_buckets;
	} limits;
	struct {
		uint32_t head_ms, body_ms, keep_alive_ms, send_ms, drain_ms;
	} timeouts;
	struct conf_attempt attempt; /* what providers have that say nothing else */
	struct conf_stream stream;
	struct conf_rate rate;
	enum reload reload;
	bool open; /* listeners beyond loopback are meant */
	struct conf_client *clients;
	size_t n_clients; /* 0: everyone is admitted */
	struct conf_provider *providers;
	size_t n_providers;
	struct conf_route *routes;
	size_t n_routes; /* the written ones, then those made from the providers' models that no
			    route's model names */
};

/*
 * What model_options say of a model, by its name upstream: the first of them that matches, else the
 * defaults. Reads the sealed configuration only.
 */
const struct chat_options *conf_model_options(const struct conf_provider *p, struct str model);

/* A file as it was when it was read; all 0: it could not be. */
struct conf_stamp {
	uint64_t device, inode, size, modified_ns, changed_ns;
};
/* Every file that a reading of the configuration looked at. */
struct conf_files {
	struct conf_seen {
		char *path;
		struct conf_stamp stamp;
	} * all;
	size_t n, cap;
};

struct conf_options {
	const char *path;         /* -c; made absolute by conf_load */
	uint16_t port;            /* -p; 0: none */
	struct conf_files *files; /* filled anew by conf_load, also where that fails; NULL: not */
	bool detach; /* -D: the logs' defaults are syslog; stdout and stderr are errors */
};

/* Told each error, in order: line 0 when there is none. `file` differs from the path inside
 * @include. */
typedef void conf_report(void *ctx, const char *file, unsigned line, const char *text);

/*
 * Read, check and fill in defaults. NULL after at least one error was reported. Warnings go to the
 * log. TLS contexts are made and CA files read. The result is not yet sealed (conf_seal). Nothing
 * of an earlier configuration is touched; everything is freed on failure.
 */
struct conf *conf_load(const struct conf_options *o, conf_report *report, void *ctx);
void conf_seal(struct conf *c);
void conf_free(struct conf *c);
/*
 * Providers of which the key could not be had: how many, and in `out` of `size` bytes
 * "openai (env:OPENAI_API_KEY is not set), x (file:/k is empty)", cut to the room there is.
 */
size_t conf_keys_missing(const struct conf *c, char *out, size_t size);
/* -T: the effective configuration as a libconfig file that loads to the same again; secrets as
 * "***". */
void conf_print(const struct conf *c, FILE *out);
/* Only `pid_file`, from an otherwise broken file (for -s). 0 with the path in out ("" is none), or
 * -1. */
int conf_pid_file(const char *path, char *out, size_t size);
/* The path of the first file that is not any more as it was read, or NULL; *now (all of them taken
 * together) tells whether they have changed since another call. */
const char *conf_files_changed(const struct conf_files *f, uint64_t *now);
void conf_files_free(struct conf_files *f);
/* The default path: $API_ROUTER_CONFIG_PATH, else SYSCONFDIR/api-router/api-router.conf. */
const char *conf_default_path(void);

#endif
